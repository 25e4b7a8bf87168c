"use strict";
// Text from the report's data reaches the page as text nodes only, never as HTML.
(() => {
  const PAPER_ROWS = 500;
  const SEVERITIES = ["critical", "high", "medium", "low", "info"];
  const VERDICTS = ["noncompliant", "unknown", "waived"];
  const order = new Intl.Collator("en", { numeric: true });
  const byId = (id) => document.getElementById(id);

  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const isolated = (value, className = "") => make("bdi", { class: className }, value);
  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const read = (fact) => (fact.value === null ? (fact.key ? "absent" : "–") : shown(fact.value));
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  /* The table of findings. */
  const { policies, findings } = JSON.parse(byId("findings-data").textContent);
  const form = byId("filters");
  const state = { sort: "", descending: false, page: 0, size: 25, open: new Set(), paper: false };

  const columns = {
    severity: (row) => SEVERITIES.length - SEVERITIES.indexOf(row.severity),
    resource: (row) => row.resource_id,
    policy: (row) => row.policy,
    account: (row) => `${row.account_name} ${row.account_id} ${row.region}`,
    verdict: (row) => row.verdict,
    savings: (row) => (row.monthly_savings === null ? null : Number(row.monthly_savings)),
  };
  const filters = {
    severity: (row) => row.severity,
    verdict: (row) => row.verdict,
    policy: (row) => row.policy,
    account: (row) => row.account_id,
    region: (row) => row.region,
  };

  const haystack = (row) =>
    (row.haystack ??= [
      row.resource_id, row.arn, row.policy, row.account_name, row.account_id, row.region, row.resource_type, row.reason,
      row.waiver_id, ...Object.entries(row.tags).flat(),
    ].join("\n").toLowerCase());

  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === null) return 1; // what is unknown comes last, whichever way the rest is sorted
    if (b === null) return -1;
    const sign = typeof a === "number" ? a - b : order.compare(a, b);
    return state.descending ? -sign : sign;
  };

  const selected = () => {
    const wanted = Object.keys(filters).filter((name) => form.elements[name].value);
    const text = form.elements.text.value.trim().toLowerCase();
    const rows = findings.filter(
      (row) => wanted.every((name) => filters[name](row) === form.elements[name].value) && haystack(row).includes(text),
    );
    const key = columns[state.sort];
    return key ? rows.map((row) => [key(row), row]).sort((a, b) => compare(a[0], b[0])).map((pair) => pair[1]) : rows;
  };

  const badge = (kind) => make("span", { class: `badge is-${kind}` }, kind);
  const cell = (where, ...children) => make("td", { role: "cell", class: `where-${where}` }, ...children);

  const facts = (row) => {
    if (!row.facts.length) return make("p", { class: "soft" }, "No facts were recorded.");
    const body = make("tbody", {});
    for (const fact of row.facts) {
      body.append(make("tr", {},
        make("td", {}, isolated(fact.filter)), make("td", {}, isolated(fact.key, "code")),
        make("td", {}, isolated(read(fact), "code")), make("td", {}, isolated(fact.op || "filter matches")),
        make("td", {}, isolated(shown(fact.expected), "code")), make("td", {}, fact.matched ? "yes" : "no")));
    }
    const head = make("tr", {}, ...["Filter", "Key", "Value", "Test", "Expected", "Matched"].map((name) => make("th", { scope: "col" }, name)));
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Facts" }, make("table", {}, make("thead", {}, head), body));
  };

  const pairs = (entries) => make("dl", { class: "pairs" }, ...entries.map(([name, value]) =>
    make("div", { class: value.length > 40 ? "span" : "" }, make("dt", {}, isolated(name)), make("dd", {}, isolated(value)))));

  const detail = (row, id) => {
    const box = make("td", { role: "cell", colspan: "6" });
    const policy = policies[row.policy];
    if (row.reason) box.append(make("p", {}, isolated(row.reason)));
    box.append(make("p", { class: "soft" }, isolated(`${policy.title}. ${policy.rationale}`)));
    const about = [["ARN", row.arn || "none"], ["Resource type", row.resource_type], ["Account", `${row.account_name} ${row.account_id}`],
      ["Region", row.region], ["Pack", row.pack], ["Savings a month", `${row.savings}: ${row.note}`]];
    if (row.waiver_id) about.push(["Waiver", row.waiver_id]);
    box.append(pairs(about), make("h3", {}, "Facts that decided it"), facts(row), make("h3", {}, "Tags"));
    const tags = Object.entries(row.tags);
    box.append(tags.length ? pairs(tags) : make("p", { class: "soft" }, "No tags."));
    return make("tr", { class: "detail", role: "row", id }, box);
  };

  const paperDetail = (row) => {
    const values = row.facts.map((fact) => (fact.key ? `${fact.key} = ${read(fact)} (${fact.op} ${shown(fact.expected)})` : fact.filter));
    return make("tr", { class: "detail", role: "row" }, make("td", { role: "cell", colspan: "6" },
      make("p", {}, isolated(row.arn || row.resource_id, "code")), make("p", { class: "soft" }, isolated([row.reason, ...values].filter(Boolean).join("; ")))));
  };

  const toggle = (row, line, opener) => {
    const opened = opener.getAttribute("aria-expanded") !== "true";
    opener.setAttribute("aria-expanded", String(opened));
    if (opened) {
      state.open.add(row);
      line.after(detail(row, opener.getAttribute("aria-controls")));
    } else {
      state.open.delete(row);
      line.nextElementSibling.remove();
    }
  };

  const lines = (row, number, expanded) => {
    const id = `detail-${number}`;
    const opener = make("button", { type: "button", class: "opener", "aria-expanded": String(expanded), "aria-controls": id }, isolated(row.resource_id, "code"));
    const known = row.monthly_savings !== null;
    const line = make("tr", { role: "row" },
      cell("severity", make("span", { class: `severity sev-${row.severity}` }, row.severity[0].toUpperCase() + row.severity.slice(1))),
      cell("resource", opener, make("span", { class: "sub sub-indent" }, isolated(row.resource_type))),
      cell("policy", isolated(row.policy)),
      cell("account", isolated(row.account_name || row.account_id), make("span", { class: "sub" }, isolated(row.region))),
      cell("verdict", badge(row.verdict)),
      make("td", { role: "cell", class: "n where-savings" }, make("span", { class: known ? "" : "soft", title: row.note }, row.savings)));
    opener.addEventListener("click", () => toggle(row, line, opener));
    if (state.paper) return [line, paperDetail(row)];
    return expanded ? [line, detail(row, id)] : [line];
  };

  const draw = () => {
    const rows = selected();
    const size = state.paper ? PAPER_ROWS : state.size;
    const pages = Math.max(1, Math.ceil(rows.length / size));
    state.page = state.paper ? 0 : Math.min(state.page, pages - 1);
    const first = state.page * size;
    const some = rows.slice(first, first + size);
    byId("findings-rows").replaceChildren(...some.flatMap((row, number) => lines(row, number, state.open.has(row))));
    const all = rows.length === findings.length ? plural(rows.length, "finding") : `${plural(rows.length, "matching finding")} (${findings.length.toLocaleString("en")} in all)`;
    const left = state.paper && rows.length > size ? " The others are left out of the printed report; the JSON report has them all." : "";
    byId("findings-status").textContent = rows.length ? `${first + 1}–${first + some.length} of ${all}.${left}` : `No finding matches these filters (${findings.length.toLocaleString("en")} in all).`;
    byId("page-number").textContent = `Page ${state.page + 1} of ${pages}`;
    byId("page-previous").setAttribute("aria-disabled", String(state.page === 0));
    byId("page-next").setAttribute("aria-disabled", String(state.page >= pages - 1));
  };

  const restart = () => {
    state.page = 0;
    draw();
  };

  const turn = (step) => (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") === "true") return;
    state.page += step;
    draw();
  };

  const sortBy = (button) => {
    const name = button.dataset.sort;
    state.descending = state.sort === name ? !state.descending : ["severity", "savings"].includes(name);
    state.sort = name;
    for (const other of button.closest("tr").querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    restart();
  };

  const options = (name, values, label) => {
    for (const value of values) form.elements[name].append(make("option", { value }, label(value)));
  };

  const startFindings = () => {
    const names = new Map(findings.map((row) => [row.account_id, row.account_name]));
    const distinct = (key) => [...new Set(findings.map(key))];
    const sorted = (values) => values.sort(order.compare);
    const same = (value) => value;
    options("severity", SEVERITIES.filter((value) => distinct(filters.severity).includes(value)), same);
    options("verdict", VERDICTS.filter((value) => distinct(filters.verdict).includes(value)), same);
    options("policy", sorted(distinct(filters.policy)), same);
    options("account", sorted(distinct(filters.account)), (value) => `${names.get(value)} ${value}`.trim());
    options("region", sorted(distinct(filters.region)), same);
    form.addEventListener("input", restart);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(restart));
    for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button));
    byId("page-previous").addEventListener("click", turn(-1));
    byId("page-next").addEventListener("click", turn(1));
    byId("page-size").addEventListener("change", (event) => {
      state.size = Number(event.target.value);
      restart();
    });
    byId("findings-app").hidden = false;
    draw();
  };

  /* Links elsewhere in the report that filter the table: <a href="#findings" data-policy="..."> */
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href="#findings"]');
    if (!link || !form || !Object.keys(link.dataset).length) return;
    form.elements.text.value = "";
    for (const name of Object.keys(filters)) form.elements[name].value = link.dataset[name] ?? "";
    restart();
  });

  /* The coverage grid: one tab stop, arrow keys inside, and a line that says what the cell under focus or pointer holds. */
  const startGrid = (grid) => {
    const readout = byId("grid-readout");
    const hint = readout.textContent;
    const rows = [...grid.querySelectorAll("tr")].map((row) => [...row.querySelectorAll("td")]).filter((row) => row.length);
    const stops = rows.map((row) => row.map((box) => box.querySelector("a") ?? box));
    const say = (event) => {
      const box = event.target.closest("td");
      readout.textContent = box ? box.title : hint;
    };
    for (const stop of stops.flat()) stop.tabIndex = -1;
    stops[0][0].tabIndex = 0;
    grid.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const box = event.target.closest("td");
      if (!step || !box) return;
      const row = rows.findIndex((each) => each.includes(box));
      const next = stops[row + step[0]]?.[rows[row].indexOf(box) + step[1]];
      event.preventDefault();
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    grid.addEventListener("focusin", say);
    grid.addEventListener("pointerover", say);
    grid.addEventListener("pointerleave", () => { readout.textContent = hint; });
  };

  /* On paper nothing can be opened or paged, so print the details open and the findings on one page. */
  const startPrinting = () => {
    let closed = [];
    const paper = (on) => {
      state.paper = on;
      if (form) draw();
    };
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("details:not([open])")];
      for (const each of closed) each.open = true;
      paper(true);
    });
    addEventListener("afterprint", () => {
      for (const each of closed) each.open = false;
      paper(false);
    });
  };

  if (form) startFindings();
  if (byId("grid")) startGrid(byId("grid"));
  startPrinting();
})();

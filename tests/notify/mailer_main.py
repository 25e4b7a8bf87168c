"""Runs the real c7n-mailer once over its queue, in an interpreter that has it. Argument: the mailer's configuration."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import c7n_mailer
from c7n_mailer.sqs_queue_processor import MailerSqsQueueIterator, MailerSqsQueueProcessor
from c7n_mailer.utils import session_factory, setup_defaults

config = json.loads(sys.argv[1])
config["templates_folders"] = [str(Path(c7n_mailer.__file__).parent / "msg-templates"), *config.pop("own")]
setup_defaults(config)
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
MailerSqsQueueIterator.__init__.__defaults__ = (0, 0)  # it would wait ten seconds for another message
MailerSqsQueueProcessor(config, session_factory(config), logging.getLogger("mailer")).run()

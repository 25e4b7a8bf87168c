"""Channels: one file a channel, one line each in :data:`SENDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from finops_policy.channels import Channel, ChannelType
from finops_policy.notify.senders import email_ses, email_smtp, jira, slack, sns, sqs_mailer, teams, webhook
from finops_policy.notify.senders.sender import Sender

SENDERS: Final[Mapping[ChannelType, Callable[[Channel], Sender]]] = {
    ChannelType.EMAIL_SMTP: email_smtp.SmtpMail,
    ChannelType.EMAIL_SES: email_ses.SesMail,
    ChannelType.SLACK: slack.Slack,
    ChannelType.TEAMS: teams.Teams,
    ChannelType.SNS: sns.Sns,
    ChannelType.SQS_MAILER: sqs_mailer.SqsMailer,
    ChannelType.JIRA: jira.Jira,
    ChannelType.WEBHOOK: webhook.Webhook,
}

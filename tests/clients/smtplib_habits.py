"""Four messages over one connection of smtplib, with refused recipients between them.

When every recipient of a message is refused, smtplib sends RSET and keeps the connection.
"""

import smtplib
import sys

TEXT = "Subject: minutes\r\n\r\nThe minutes.\r\n"
SENDER = "sender@example.org"

delivered = 0
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as client:
    refused = client.sendmail(SENDER, ["alice@example.test"], TEXT)
    assert not refused, refused
    delivered += 1

    refused = client.sendmail(
        SENDER, ["bob@example.test", "bbo@example.test", "alice@example.test"], TEXT
    )
    assert list(refused) == ["bbo@example.test"], refused
    assert refused["bbo@example.test"][0] == 550, refused
    delivered += 1

    try:
        client.sendmail(SENDER, ["alcie@example.test"], TEXT)
    except smtplib.SMTPRecipientsRefused as error:
        assert list(error.recipients) == ["alcie@example.test"], error.recipients
    else:
        raise AssertionError("an unknown recipient was accepted")

    client.rset()
    client.noop()
    for name in ["bob", "user7"]:
        refused = client.sendmail(SENDER, [f"{name}@example.test"], TEXT)
        assert not refused, refused
        delivered += 1

print("delivered", delivered)

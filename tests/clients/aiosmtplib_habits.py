"""Four messages over one connection of aiosmtplib, with refused recipients between them.

When every recipient of a message is refused, aiosmtplib sends RSET and keeps the connection.
"""

import asyncio
import sys

import aiosmtplib

TEXT = "Subject: minutes\r\n\r\nThe minutes.\r\n"
SENDER = "sender@example.org"


async def main() -> int:
    delivered = 0
    client = aiosmtplib.SMTP(
        hostname=sys.argv[1], port=int(sys.argv[2]), timeout=20, use_tls=False, start_tls=False
    )
    async with client:
        refused, _ = await client.sendmail(SENDER, ["alice@example.test"], TEXT)
        assert not refused, refused
        delivered += 1

        recipients = ["bob@example.test", "bbo@example.test", "alice@example.test"]
        refused, _ = await client.sendmail(SENDER, recipients, TEXT)
        assert list(refused) == ["bbo@example.test"], refused
        delivered += 1

        try:
            await client.sendmail(SENDER, ["alcie@example.test"], TEXT)
        except aiosmtplib.SMTPRecipientsRefused as error:
            assert [one.recipient for one in error.recipients] == ["alcie@example.test"], error
        else:
            raise AssertionError("an unknown recipient was accepted")

        await client.rset()
        await client.noop()
        for name in ["bob", "user7"]:
            refused, _ = await client.sendmail(SENDER, [f"{name}@example.test"], TEXT)
            assert not refused, refused
            delivered += 1
    return delivered


print("delivered", asyncio.run(main()))

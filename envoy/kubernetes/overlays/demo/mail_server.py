"""A mail server to try the guard on: takes mail for three names, and throws it away.

    mail_server.py PORT
"""

import asyncio
import sys

KNOWN = {"alice@example.test", "bob@example.test", "postmaster@example.test"}
LONGEST_LINE = 65536
PATIENCE = 300


class Session:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.recipients = 0

    async def line(self):
        line = await asyncio.wait_for(self.reader.readuntil(b"\n"), PATIENCE)
        return line.rstrip(b"\r\n")

    async def say(self, reply):
        self.writer.write(reply.encode() + b"\r\n")
        await self.writer.drain()

    async def run(self):
        await self.say("220 mx.example.test ESMTP demo")
        while True:
            command = (await self.line()).decode("ascii", "replace")
            verb = command[:4].upper()
            if verb == "QUIT":
                return await self.say("221 2.0.0 Bye")
            if verb == "DATA" and self.recipients:
                await self.message()
            else:
                await self.say(self.answer(verb, command))

    def answer(self, verb, command):
        if verb in ("EHLO", "HELO", "MAIL", "RSET"):
            self.recipients = 0
        if verb == "EHLO":
            return "250-mx.example.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES"
        if verb == "RCPT":
            name = command.partition("<")[2].partition(">")[0].lower()
            if name not in KNOWN:
                return "550 5.1.1 User unknown"
            self.recipients += 1
            return "250 2.1.5 Ok"
        if verb in ("HELO", "MAIL", "RSET", "NOOP"):
            return "250 2.0.0 Ok"
        if verb == "DATA":
            return "503 5.5.1 No recipient"
        return "502 5.5.2 Not here"

    async def message(self):
        await self.say("354 Go on")
        while await self.line() != b".":
            pass
        self.recipients = 0
        await self.say("250 2.0.0 Ok: thrown away")


async def serve(reader, writer):
    try:
        await Session(reader, writer).run()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, port=int(sys.argv[1]), limit=LONGEST_LINE)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

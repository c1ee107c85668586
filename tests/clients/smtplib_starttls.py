"""Two messages over one connection of smtplib under TLS, an unknown recipient among them."""

import smtplib
import ssl
import sys

TEXT = "Subject: minutes\r\n\r\nThe minutes.\r\n"
SENDER = "sender@example.org"

context = ssl.create_default_context(cafile=sys.argv[3])
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as client:
    # The certificate names another host than the address that is connected to.
    client._host = "mx.example.test"
    client.starttls(context=context)
    assert client.sock.version() == "TLSv1.3", client.sock.version()
    assert not client.has_extn("starttls")
    refused = client.sendmail(SENDER, ["alice@example.test"], TEXT)
    assert not refused, refused
    refused = client.sendmail(SENDER, ["bob@example.test", "bbo@example.test"], TEXT)
    assert list(refused) == ["bbo@example.test"], refused

print("delivered 2")

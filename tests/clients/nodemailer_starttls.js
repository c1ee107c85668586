// Two messages over one pooled connection of nodemailer, which insists on TLS.
const { readFileSync } = require("fs");
const nodemailer = require("nodemailer");

const [host, port, ca] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host,
  port: Number(port),
  requireTLS: true,
  pool: true,
  maxConnections: 1,
  tls: { ca: readFileSync(ca), servername: "mx.example.test", minVersion: "TLSv1.2" },
});

async function main() {
  for (const to of ["alice@example.test", "bob@example.test"]) {
    const sent = await transport.sendMail({
      from: "sender@example.org",
      to: [to, "nobody@example.test"],
      subject: "minutes",
      text: "The minutes.\n".repeat(2000),
    });
    if (sent.accepted.length !== 1 || sent.rejected.length !== 1) throw new Error(JSON.stringify(sent));
  }
  transport.close();
  console.log("delivered 2");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

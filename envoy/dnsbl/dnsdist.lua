-- dnsdist: takes the guard's questions by DNS over HTTPS and asks a blocklist server by plain DNS.
--
--   dnsdist --supervised --disable-syslog -C envoy/dnsbl/dnsdist.lua
--
-- dnsdist does not resolve by itself. Behind it belongs what answers for the lists: rbldnsd with
-- the lists' zones (zones/ shows some), or a recursive resolver of your own. To ask public lists
-- without either, see unbound.conf.
--
-- All that differs between places comes from the environment; the defaults fit envoy.yaml.

-- told(NAME, DEFAULT): what the environment says, if anything.
local function told(name, default)
  local value = os.getenv(name)
  if value == nil or value == "" then
    return default
  end
  return value
end

-- Where the guard asks. Loopback, since it is cleartext: beside Envoy only.
local listen = told("PORTCULLIS_DOH_LISTEN", "127.0.0.1:8053")
-- Who may ask: an open resolver is soon found and used to flood others.
local clients = told("PORTCULLIS_DOH_CLIENTS", "127.0.0.0/8")
-- The blocklist server.
local server = told("PORTCULLIS_DNSBL_SERVER", "127.0.0.1:5300")
-- A name that the server must answer: the test point that every list has (RFC 5782 section 5). A
-- server that has lost its zone is as good as none, and is treated so.
local probe = told("PORTCULLIS_DNSBL_PROBE", "2.0.0.127.bl.example.test.")

-- No word to dnsdist's makers at each start.
setSecurityPollSuffix("")
setACL({clients})

-- A dead server is told at once, by an HTTP status; the guard lets mail through then.
setServerPolicy(firstAvailable)
newServer({
  address = server,
  checkName = probe,
  checkType = "A",
  mustResolve = true,
  checkInterval = 1,
})

-- Keeps answers as long as the lists allow, at most an hour. A hundred thousand answers are some
-- 50 MB; the guard keeps those of its own clients besides. Failures are forgotten soon.
getPool(""):setCache(newPacketCache(100000, {
  maxTTL = 3600,
  minTTL = 0,
  temporaryFailureTTL = 1,
}))

-- RFC 8484; no certificate means cleartext HTTP/2. Idle connections outlast Envoy's own limit.
addDOHLocal(listen, nil, nil, {"/dns-query"}, { idleTimeout = 30 })

package integration

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// resolvers asks for the records of a host by the C library, Node.js (c-ares)
// and Python, as tools do before and after they connect.
const resolvers = `
getent ahostsv4 $NAME | sort -u -k 2,2 | head -n 1 | sed 's/^127.77.[0-9.]* /getent: one /'
cat > /tmp/ask.js <<'END'
const dns = require("dns").promises, name = process.argv[2]
const say = async (kind, asked) => console.log("node", kind + ":", JSON.stringify(await asked.catch(e => e.code)))
const run = async () => {
	const { address } = await dns.lookup(name)
	await say("a", dns.resolve4(name).then(list => list.length == 1 && list[0] == address))
	await say("aaaa", dns.resolve6(name))
	await say("txt", dns.resolveTxt(name))
	await say("srv", dns.resolveSrv("_http._tcp." + name))
	await say("naptr", dns.resolveNaptr(name))
	await say("mx", dns.resolveMx(name))
	await say("ptr", dns.reverse(address))
}
run()
END
node /tmp/ask.js $NAME
cat > /tmp/ask.py <<'END'
import socket, struct, sys
name = sys.argv[1]
address = socket.gethostbyname(name)
print("python ptr:", socket.gethostbyaddr(address)[0])
print("python fqdn:", socket.getfqdn(address))
# A question over TCP.
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">2H", 1, 1)
with socket.create_connection(("127.0.0.1", 53)) as conn:
	conn.sendall(struct.pack(">H", len(question)) + question)
	stream = conn.makefile("rb")
	answer = stream.read(struct.unpack(">H", stream.read(2))[0])
print("python tcp:", answer[-4:] == socket.inet_aton(address))
END
python3 /tmp/ask.py $NAME
`

func TestT36_ResolversGetWhatToolsNeedAndNoDenialIsLogged(t *testing.T) {
	name, address := bottletest.OwnName(t)
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		said := script(t, u, runtime, toOwn(name, address, name), "NAME="+name+resolvers)
		bottletest.Contains(t, said, "getent: one ", "node a: true\n", "node aaaa: \"ENODATA\"\n", "node txt: \"ENODATA\"\n", "node srv: \"ENOTFOUND\"\n",
			"node naptr: \"ENODATA\"\n", "node mx: \"ENODATA\"\n", `node ptr: ["`+name+`"]`, "python ptr: "+name+"\n", "python fqdn: "+name+"\n", "python tcp: True\n")
		nothingRefused(t, u)
	})
}

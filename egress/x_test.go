package egress
import ("testing";"golang.org/x/net/idna";"go.uber.org/goleak";_ "github.com/klauspost/compress/zstd";_ "github.com/containerd/log";_ "golang.org/x/time/rate")
func TestX(t *testing.T){ goleak.VerifyNone(t); for _,s:=range []string{"a_b.com","xn--bcher-kva.de","Bücher.de","a..b","-a.com","ａｐｉ.com","a。b","１２７.0.0.1","xn--a","api.anthropic.com\x00","straße.de","ⓐpi.com","a-.com","a--b.com","ab--c.com","x\u200dy.com","\u0130.com","xn--80ak6aa92e.com"} { r,e:=idna.Lookup.ToASCII(s); t.Logf("%q -> %q %v",s,r,e)} }

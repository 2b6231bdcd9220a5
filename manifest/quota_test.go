package manifest_test

import (
	"reflect"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
)

func TestAUsersQuotaIsTheirOwnThenTheDefaultThenTheProgramsOwn(t *testing.T) {
	yes, no := true, false
	host := backend.HostFile{Users: map[string]backend.UserLimits{
		"default": {Bottles: 2, Memory: "8Gi", Pull: &yes},
		"genie":   {CPUs: "1.5", Runtimes: []backend.RuntimePolicy{"gvisor", "runc"}, Pull: &no},
	}}
	for _, row := range []struct {
		host backend.HostFile
		user string
		want backend.Quota
	}{
		{backend.HostFile{}, "genie", backend.Quota{Bottles: 4, Limits: backend.Limits{MemoryBytes: 16 << 30, CPUMillis: 8000, Processes: 4096}, Runtimes: []string{"gvisor"}}},
		{host, "aladdin", backend.Quota{Bottles: 2, Limits: backend.Limits{MemoryBytes: 8 << 30, CPUMillis: 8000, Processes: 4096}, Runtimes: []string{"gvisor"}, Pull: true}},
		{host, "genie", backend.Quota{Bottles: 2, Limits: backend.Limits{MemoryBytes: 8 << 30, CPUMillis: 1500, Processes: 4096}, Runtimes: []string{"gvisor", "runc"}}},
	} {
		got, err := manifest.Quota(row.host, row.user)
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s has %+v, %v; want %+v", row.user, got, err, row.want)
		}
	}
}

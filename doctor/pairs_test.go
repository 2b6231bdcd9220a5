package doctor

import (
	"errors"
	"testing"

	"github.com/claude-bottle/claude-bottle/image/proven"
)

func TestWhatIsSaidOfAClaudeAndARuntime(t *testing.T) {
	known := proven.Pair{Claude: "2.1.1", Runtime: "gvisor", Version: "7"}
	other := proven.Pair{Claude: "2.1.2", Runtime: "gvisor", Version: "7"}
	table := []proven.Pair{known}
	judge(t, map[string]verdict{
		"known":    {judgePairs([]proven.Pair{known}, table, nil), OK, "claude 2.1.1 is known to work on gvisor 7", ""},
		"not yet":  {judgePairs([]proven.Pair{other}, table, nil), Warning, "claude 2.1.2 on gvisor 7 answered, but is not in the table of pairs known to work; the newest claude in it is 2.1.1", "version --table"},
		"none":     {judgePairs(nil, table, nil), Unknown, "no claude has answered", ""},
		"no table": {judgePairs([]proven.Pair{known}, nil, errors.New("boom")), Unknown, "boom", ""},
	})
}

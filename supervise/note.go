package supervise

import (
	"encoding/json"
	"fmt"
	"os"
)

// writeNote writes a value as JSON, for root alone: the whole of it is there, or what
// was there before.
func writeNote(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

package resources

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// TestWhatAnotherProcessDeclaresIsReadStrictly: one resource of JSON, without a number whose
// arithmetic has no end.
func TestWhatAnotherProcessDeclaresIsReadStrictly(t *testing.T) {
	const good = `{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"lamp"},"spec":{"agent":"genie","prompt":"1e-5","resources":{"limits":{"memory":"1Gi"}}}}`
	bottle, err := Given([]byte(good))
	if err != nil || bottle.Name != "lamp" || bottle.Spec.RestartPolicy != "Never" {
		t.Fatalf("it is %+v, %v", bottle, err)
	}
	for name, object := range map[string]string{
		"YAML":             "apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\nmetadata: {name: lamp}\nspec: {agent: genie}\n",
		"nothing":          "null",
		"a list":           `{"apiVersion":"v1","kind":"List","items":[]}`,
		"two":              good + good,
		"a field too many": strings.Replace(good, `"agent"`, `"mount":"/","agent"`, 1),
		"the end of days":  strings.Replace(good, `"1Gi"`, `"1e-2147483647"`, 1),
		"written in full":  strings.Replace(good, `"1Gi"`, `"\u0031\u0065-2147483647"`, 1),
		"as a number":      strings.Replace(good, `"1Gi"`, `1e-2147483647`, 1),
		"many digits":      strings.Replace(good, `"1Gi"`, strings.Repeat("1", 1000), 1),
		"spaced":           strings.Replace(good, `"1Gi"`, `" 1e-2147483647 "`, 1),
	} {
		if _, err := Given([]byte(object)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package resources

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/invopop/jsonschema"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Schema is the JSON Schema of a file with a Bottle, for editors, made from the types.
func Schema() ([]byte, error) {
	reflector := reflectorOf(false)
	schema := reflector.Reflect(&v1alpha1.Bottle{})
	schema.Title = "claude-bottle " + v1alpha1.Kind + " resource"
	schema.Required = []string{"apiVersion", "kind", "metadata", "spec"}
	constant(schema, "apiVersion", v1alpha1.APIVersion)
	constant(schema, "kind", v1alpha1.Kind)
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return append(data, '\n'), nil
}

func constant(schema *jsonschema.Schema, name, value string) {
	if property, ok := schema.Properties.Get(name); ok {
		property.Const = value
	}
}

// reflectorOf makes schemas. A structural one, as a cluster demands it, closes no object.
func reflectorOf(structural bool) *jsonschema.Reflector {
	return &jsonschema.Reflector{
		ExpandedStruct: true, DoNotReference: true, Anonymous: true, AllowAdditionalProperties: structural,
		Mapper: func(of reflect.Type) *jsonschema.Schema { return mapped(of, structural) },
	}
}

// mapped is the schema of a type that says more of itself than its fields do.
func mapped(of reflect.Type, structural bool) *jsonschema.Schema {
	switch of {
	case reflect.TypeFor[metav1.ObjectMeta]():
		if structural {
			return &jsonschema.Schema{Type: "object"}
		}
		return metaSchema()
	case reflect.TypeFor[metav1.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[resource.Quantity]():
		quantity := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string"}}}
		if structural {
			quantity.Extras = map[string]any{"x-kubernetes-int-or-string": true}
		}
		return quantity
	case reflect.TypeFor[metav1.Condition]():
		return conditionSchema(structural)
	}
	return nil
}

// metaSchema is what of the metadata a user writes. What get prints may stand there, too.
func metaSchema() *jsonschema.Schema {
	text := func() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }
	texts := func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "object", AdditionalProperties: text()}
	}
	meta := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), Required: []string{"name"}}
	name := text()
	name.Pattern, name.MaxLength = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, new(uint64(40))
	meta.Properties.Set("name", name)
	meta.Properties.Set("labels", texts())
	meta.Properties.Set("annotations", texts())
	return meta
}

func conditionSchema(structural bool) *jsonschema.Schema {
	type condition struct {
		Type               string      `json:"type"`
		Status             string      `json:"status" jsonschema:"enum=True,enum=False,enum=Unknown"`
		ObservedGeneration int64       `json:"observedGeneration,omitempty"`
		LastTransitionTime metav1.Time `json:"lastTransitionTime"`
		Reason             string      `json:"reason"`
		Message            string      `json:"message"`
	}
	schema := reflectorOf(structural).Reflect(&condition{})
	schema.Version = ""
	return schema
}

// column is one of what kubectl get shows of a resource in a cluster.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	JSONPath string `json:"jsonPath"`
	Priority int    `json:"priority,omitempty"`
}

// Definition is the CustomResourceDefinition of a Bottle, as YAML, by which a cluster
// takes the same files. It is made from the types.
func Definition() ([]byte, error) {
	schema := reflectorOf(true).Reflect(&v1alpha1.Bottle{})
	schema.Version, schema.Required = "", []string{"spec"}
	definition := map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": "bottles." + v1alpha1.Group},
		"spec": map[string]any{
			"group": v1alpha1.Group, "scope": "Namespaced",
			"names": map[string]any{"kind": v1alpha1.Kind, "listKind": v1alpha1.ListKind, "plural": "bottles", "singular": "bottle"},
			"versions": []any{map[string]any{
				"name": v1alpha1.Version, "served": true, "storage": true,
				"schema":       map[string]any{"openAPIV3Schema": schema},
				"subresources": map[string]any{"status": map[string]any{}},
				"additionalPrinterColumns": []column{
					{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`},
					{Name: "Status", Type: "string", JSONPath: ".status.phase"},
					{Name: "Restarts", Type: "integer", JSONPath: ".status.restarts"},
					{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
					{Name: "Agent", Type: "string", JSONPath: ".spec.agent", Priority: 1},
				},
			}},
		},
	}
	data, err := yaml.Marshal(definition)
	if err != nil {
		return nil, fmt.Errorf("write definition: %w", err)
	}
	return data, nil
}

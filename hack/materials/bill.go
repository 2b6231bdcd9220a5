package main

import (
	"io"
	"net/url"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBill writes the same for the same programs: no random number, no present time.
func writeBill(w io.Writer, o options, programs []program) error {
	root := cdx.Component{Type: cdx.ComponentTypeApplication, BOMRef: "claude-bottle", Name: "claude-bottle", Version: o.version}
	components := []cdx.Component{}
	edges := []cdx.Dependency{}
	var parts []string
	for _, p := range programs {
		ref := "program/" + p.name
		parts = append(parts, ref)
		components = append(components, cdx.Component{
			Type: cdx.ComponentTypeFile, BOMRef: ref, Name: p.name,
			Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.sha256}},
			Properties: &[]cdx.Property{{Name: "go:version", Value: p.goVersion}},
		})
		needs := []string{}
		for _, m := range p.modules {
			needs = append(needs, packageURL(m))
		}
		edges = append(edges, cdx.Dependency{Ref: ref, Dependencies: &needs})
	}
	for _, m := range modulesOf(programs) {
		component := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: packageURL(m), Name: m.path, Version: m.version, PackageURL: packageURL(m)}
		if m.sum != "" {
			component.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.sum}}
		}
		components = append(components, component)
	}
	for _, other := range o.others {
		parts = append(parts, "other/"+other.name)
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: "other/" + other.name, Name: other.name})
	}
	bill := cdx.NewBOM()
	bill.Metadata = &cdx.Metadata{Timestamp: o.made.Format(time.RFC3339), Component: &root}
	edges = append([]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &parts}}, edges...)
	bill.Components, bill.Dependencies = &components, &edges
	// Not the newest form: scanners have to read it.
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bill, cdx.SpecVersion1_6)
}

// packageURL is the name that the rest of the world has for a module.
func packageURL(m module) string {
	segments := strings.Split(m.path, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return "pkg:golang/" + strings.Join(segments, "/") + "@" + url.QueryEscape(m.version)
}

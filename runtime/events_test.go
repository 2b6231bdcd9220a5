package runtime

import (
	"testing"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/typeurl/v2"
)

func TestEventsNameTheContainerThatTheyAreAbout(t *testing.T) {
	for name, event := range map[string]any{
		"created": &events.ContainerCreate{ID: "bottle"},
		"updated": &events.ContainerUpdate{ID: "bottle"},
		"deleted": &events.ContainerDelete{ID: "bottle"},
		"started": &events.TaskStart{ContainerID: "bottle"},
		"exited":  &events.TaskExit{ContainerID: "bottle", ID: "an exec in it"},
		"killed":  &events.TaskOOM{ContainerID: "bottle"},
	} {
		packed, err := typeurl.MarshalAny(event)
		if err != nil {
			t.Fatal(err)
		}
		if got := containerOf(packed); got != "bottle" {
			t.Errorf("%s: it is about %q", name, got)
		}
	}
	image, err := typeurl.MarshalAny(&events.ImageCreate{Name: "image"})
	if err != nil {
		t.Fatal(err)
	}
	if got := containerOf(image); got != "" {
		t.Errorf("an image is taken for container %q", got)
	}
}

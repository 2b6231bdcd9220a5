package runtime

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
)

// Watch tells the names of the containers of our namespace that something has happened
// to, bottles or not. The channel is closed when ctx has ended or the daemon has gone
// away. What happened in the moment before the daemon has noted the listener is missed.
func (c *Client) Watch(ctx context.Context) (<-chan string, error) {
	// A daemon that is back is not to be waited for as long as it was away.
	if conn, ok := c.client.Conn().(*grpc.ClientConn); ok {
		conn.ResetConnectBackoff()
	}
	ctx, cancel := c.unbounded(ctx)
	var filters []string
	for _, topics := range []string{"^/containers/", "^/tasks/"} {
		filters = append(filters, fmt.Sprintf("namespace==%q,topic~=%q", c.options.Namespace, topics))
	}
	envelopes, failed := c.client.EventService().Subscribe(ctx, filters...)
	select {
	case err := <-failed:
		cancel()
		return nil, c.failed(ctx, "listen to containerd", err)
	default:
	}
	names := make(chan string)
	go func() {
		defer close(names)
		defer cancel()
		for {
			select {
			case envelope := <-envelopes:
				name := containerOf(envelope.Event)
				if name == "" {
					continue
				}
				select {
				case names <- name:
				case <-ctx.Done():
					return
				}
			case <-failed: //nolint:errcheck // whatever it is, it is over
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return names, nil
}

// containerOf is the container that an event is about, "" when it can't be told.
func containerOf(event typeurl.Any) string {
	decoded, err := typeurl.UnmarshalAny(event)
	if err != nil {
		return ""
	}
	switch known := decoded.(type) {
	case *events.ContainerCreate:
		return known.ID
	case *events.ContainerUpdate:
		return known.ID
	case *events.ContainerDelete:
		return known.ID
	case interface{ GetContainerID() string }: // of tasks
		return known.GetContainerID()
	default:
		return ""
	}
}

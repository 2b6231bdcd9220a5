package anthropic

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
)

// answer is one message of the assistant.
type answer struct {
	id, model, stop string
	blocks          []map[string]any
}

func newAnswer(model string, turn Turn) answer {
	a := answer{id: "msg_" + rand.Text(), model: model, stop: "end_turn"}
	if turn.Text != "" || len(turn.Tools) == 0 {
		a.blocks = append(a.blocks, map[string]any{"type": "text", "text": turn.Text})
	}
	for _, tool := range turn.Tools {
		a.stop = "tool_use"
		a.blocks = append(a.blocks, map[string]any{"type": "tool_use", "id": "toolu_" + rand.Text(), "name": tool.Name, "input": tool.Input})
	}
	return a
}

func (a answer) message(blocks []map[string]any, stop any) map[string]any {
	return map[string]any{
		"id": a.id, "type": "message", "role": "assistant", "model": a.model, "content": blocks,
		"stop_reason": stop, "stop_sequence": nil, "usage": map[string]any{"input_tokens": 10, "output_tokens": 10},
	}
}

// whole is the answer without streaming.
func (a answer) whole() map[string]any { return a.message(a.blocks, a.stop) }

// stream writes the answer as server-sent events.
func (a answer) stream(ctx context.Context, w http.ResponseWriter, turn Turn) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	send := func(event map[string]any) {
		data, _ := json.Marshal(event)
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		wait(ctx, turn.Delay)
	}
	send(map[string]any{"type": "message_start", "message": a.message([]map[string]any{}, nil)})
	for i, block := range a.blocks {
		start, deltas := pieces(block)
		send(map[string]any{"type": "content_block_start", "index": i, "content_block": start})
		for j, delta := range deltas {
			if turn.Cut && j == len(deltas)/2 {
				panic(http.ErrAbortHandler)
			}
			send(map[string]any{"type": "content_block_delta", "index": i, "delta": delta})
		}
		send(map[string]any{"type": "content_block_stop", "index": i})
	}
	send(map[string]any{
		"type": "message_delta", "delta": map[string]any{"stop_reason": a.stop, "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": 10},
	})
	send(map[string]any{"type": "message_stop"})
}

// pieces cuts a block into its start and what follows.
func pieces(block map[string]any) (start map[string]any, deltas []map[string]any) {
	const size = 40
	if block["type"] == "tool_use" {
		input, _ := json.Marshal(block["input"])
		start = map[string]any{"type": "tool_use", "id": block["id"], "name": block["name"], "input": map[string]any{}}
		for text := string(input); text != ""; {
			n := min(size, len(text))
			deltas = append(deltas, map[string]any{"type": "input_json_delta", "partial_json": text[:n]})
			text = text[n:]
		}
		return start, deltas
	}
	text, _ := block["text"].(string)
	start = map[string]any{"type": "text", "text": ""}
	for runes := []rune(text); len(runes) > 0; {
		n := min(size, len(runes))
		deltas = append(deltas, map[string]any{"type": "text_delta", "text": string(runes[:n])})
		runes = runes[n:]
	}
	return start, deltas
}

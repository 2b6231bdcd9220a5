package controller

import (
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a controller tells of itself.
type metrics struct {
	registry   *prometheus.Registry
	reconciles *prometheus.CounterVec
	panics     prometheus.Counter
	duration   prometheus.Histogram
	bottles    *prometheus.GaugeVec
}

func newMetrics(depth func() int) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "claude_bottle_reconciles_total", Help: "How often a bottle was looked at, by how that went.",
		}, []string{"result"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "claude_bottle_reconcile_panics_total", Help: "How often that ended in a panic.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "claude_bottle_reconcile_seconds", Help: "How long that took.",
			Buckets: []float64{0.001, 0.01, 0.1, 1, 10, 60},
		}),
		bottles: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "claude_bottle_bottles", Help: "Bottles by phase, when all were looked at last.",
		}, []string{"phase"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "claude_bottle_queue_depth", Help: "Bottles that wait to be looked at.",
	}, func() float64 { return float64(depth()) })
	m.registry.MustRegister(m.reconciles, m.panics, m.duration, m.bottles, waiting)
	return m
}

func (m *metrics) reconciled(took time.Duration, err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	m.reconciles.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *metrics) listed(bottles []backend.Status) {
	count := map[backend.Phase]int{}
	for _, bottle := range bottles {
		count[bottle.Phase]++
	}
	for _, phase := range []backend.Phase{backend.PhaseStarting, backend.PhaseRunning, backend.PhaseStopping, backend.PhaseDead, backend.PhaseKept} {
		m.bottles.WithLabelValues(string(phase)).Set(float64(count[phase]))
	}
}

package function

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics is what /metrics shows. A function adds its own with Counter, Gauge and Seconds while it is built; the names get
// the prefix vedette_ and every sample the label function.
type Metrics struct {
	registry *prometheus.Registry
	own      prometheus.Registerer // adds prefix and label

	requests  *prometheus.CounterVec   // kind, outcome
	handling  *prometheus.HistogramVec // kind
	turn      prometheus.Observer
	delivery  *prometheus.HistogramVec // type
	underway  prometheus.Gauge
	emitted   *prometheus.CounterVec // type, outcome
	coldStart prometheus.Gauge
	first     prometheus.Gauge
	model     *prometheus.GaugeVec     // model
	inference *prometheus.HistogramVec // model
	pictures  *prometheus.CounterVec   // model
}

// From a warm event's milliseconds to Knative's longest request.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

func newMetrics(function string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m := &Metrics{registry: registry}
	m.own = prometheus.WrapRegistererWith(prometheus.Labels{"function": function},
		prometheus.WrapRegistererWithPrefix("vedette_", registry))
	m.requests = m.counter("requests_total", "Events and plain calls, by type and by what came of them.", "type", "outcome")
	m.handling = m.histogram("handling_seconds", "From arrival to answer.", seconds, "type")
	m.turn = m.histogram("turn_wait_seconds", "Time that requests wait inside the process for their turn.", seconds).WithLabelValues()
	m.delivery = m.histogram("delivery_seconds", "From an event's time to its arrival, by the clocks of two machines.", seconds, "type")
	m.underway = m.gauge("requests_in_flight", "Events and plain calls under way.").WithLabelValues()
	m.emitted = m.counter("emitted_total", "Events sent to the sink, by what came of them.", "type", "outcome")
	m.coldStart = m.gauge("cold_start_seconds", "From the start of the process until it was ready.").WithLabelValues()
	m.first = m.gauge("first_event_seconds", "From the start of the process until its first event was answered.").WithLabelValues()
	m.model = m.gauge("model_load_seconds", "Time it took to load a model.", "model")
	m.inference = m.histogram("inference_seconds", "Time of one call of a model, whatever the batch.", seconds, "model")
	m.pictures = m.counter("inference_pictures_total", "Pictures that went through a model.", "model")
	return m
}

// Counter adds a metric that only grows. Labels are named here and given at each call, in the same order.
func (m *Metrics) Counter(name, help string, labels ...string) func(add float64, values ...string) {
	c := m.counter(name, help, labels...)
	return func(add float64, values ...string) { c.WithLabelValues(values...).Add(add) }
}

// Gauge adds a metric that has a present value.
func (m *Metrics) Gauge(name, help string, labels ...string) func(value float64, values ...string) {
	g := m.gauge(name, help, labels...)
	return func(value float64, values ...string) { g.WithLabelValues(values...).Set(value) }
}

// Seconds adds a histogram of durations.
func (m *Metrics) Seconds(name, help string, labels ...string) func(d time.Duration, values ...string) {
	h := m.histogram(name, help, seconds, labels...)
	return func(d time.Duration, values ...string) { h.WithLabelValues(values...).Observe(d.Seconds()) }
}

// ModelLoaded notes how long a model took to load.
func (m *Metrics) ModelLoaded(model string, d time.Duration) {
	m.model.WithLabelValues(model).Set(d.Seconds())
}

// Inferred notes one call of a model with a batch of pictures.
func (m *Metrics) Inferred(model string, pictures int, d time.Duration) {
	m.inference.WithLabelValues(model).Observe(d.Seconds())
	m.pictures.WithLabelValues(model).Add(float64(pictures))
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.own.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.own.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.own.MustRegister(h)
	return h
}

// processAge is the time since the kernel started this process, loading its libraries included: what a cold start costs
// before main runs. Without /proc it is the time since fallback.
func processAge(fallback time.Time) time.Duration {
	stat, _ := os.ReadFile("/proc/self/stat")
	uptime, _ := os.ReadFile("/proc/uptime")
	if age, ok := parseAge(string(stat), string(uptime)); ok {
		return age
	}
	return time.Since(fallback)
}

// parseAge reads the start of the process (field 22 of stat, in hundredths of a second after boot) and the time since boot.
func parseAge(stat, uptime string) (time.Duration, bool) {
	var up float64
	if _, err := fmt.Sscan(uptime, &up); err != nil {
		return 0, false
	}
	// The second field is the program's name in brackets, and may hold spaces and brackets itself.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseFloat(fields[19], 64)
	if err != nil || ticks <= 0 || ticks/100 > up {
		return 0, false
	}
	return time.Duration((up - ticks/100) * float64(time.Second)), true
}

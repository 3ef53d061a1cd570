package keserver

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"time"
)

// responseTimes are the buckets of the histogram, in seconds (KES spec section
// 1.6).
var responseTimes = [...]float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 3, 5, 10}

// metrics counts requests.
type metrics struct {
	mu      sync.Mutex
	active  int
	codes   map[int]uint64
	buckets [len(responseTimes)]uint64 // requests that took as long at most
	sum     time.Duration
	count   uint64
}

func (m *metrics) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active++
}

func (m *metrics) end(status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active--
	if m.codes == nil {
		m.codes = make(map[int]uint64)
	}
	m.codes[status]++
	for i, limit := range responseTimes {
		if took.Seconds() <= limit {
			m.buckets[i]++
		}
	}
	m.sum += took
	m.count++
}

// write appends the metrics of requests in the Prometheus text format.
func (m *metrics) write(b *bytes.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	codes := slices.Sorted(maps.Keys(m.codes))
	for _, class := range []struct {
		name, help string
		in         func(status int) bool
	}{
		{"success", "Number of requests that have been served successfully.", func(status int) bool { return status < 400 }},
		{"error", "Number of requests that failed because of the client.", func(status int) bool { return status >= 400 && status < 500 }},
		{"failure", "Number of requests that failed because of the server.", func(status int) bool { return status >= 500 }},
	} {
		name := "kes_http_request_" + class.name
		describe(b, name, "counter", class.help)
		for _, code := range codes {
			if class.in(code) {
				fmt.Fprintf(b, "%s{code=\"%d\"} %d\n", name, code, m.codes[code])
			}
		}
	}
	value(b, "kes_http_request_active", "gauge", "Number of requests that are being served.", float64(m.active))
	const times = "kes_http_response_time"
	describe(b, times, "histogram", "Seconds until a request is answered.")
	for i, limit := range responseTimes {
		fmt.Fprintf(b, "%s_bucket{le=\"%s\"} %d\n", times, number(limit), m.buckets[i])
	}
	fmt.Fprintf(b, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %s\n%s_count %d\n", times, m.count, times, number(m.sum.Seconds()), times, m.count)
}

func (s *Server) getMetrics(*request) (any, error) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var b bytes.Buffer
	s.metrics.write(&b)
	value(&b, "kes_log_audit_events", "counter", "Number of audit log events.", float64(s.audit.count()))
	value(&b, "kes_log_error_events", "counter", "Number of error log events.", float64(s.errors.count()))
	value(&b, "kes_system_up_time", "gauge", "Seconds since the server has been started.", time.Since(s.start).Seconds())
	value(&b, "kes_system_num_cpu", "gauge", "Number of logical CPUs.", float64(runtime.NumCPU()))
	value(&b, "kes_system_num_cpu_used", "gauge", "Number of logical CPUs that can be used.", float64(runtime.GOMAXPROCS(0)))
	value(&b, "kes_system_num_threads", "gauge", "Number of operating system threads.", float64(pprof.Lookup("threadcreate").Count()))
	value(&b, "kes_system_mem_heap_used", "gauge", "Bytes of heap memory in use.", float64(memory.HeapAlloc))
	value(&b, "kes_system_mem_heap_objects", "gauge", "Number of objects on the heap.", float64(memory.HeapObjects))
	value(&b, "kes_system_mem_stack_used", "gauge", "Bytes of stack memory in use.", float64(memory.StackInuse))
	contentType := "text/plain; version=0.0.4; charset=utf-8"
	if !s.legacy {
		contentType += "; escaping=underscores"
	}
	return plainText{contentType, b.Bytes()}, nil
}

func value(b *bytes.Buffer, name, kind, help string, v float64) {
	describe(b, name, kind, help)
	fmt.Fprintf(b, "%s %s\n", name, number(v))
}

func describe(b *bytes.Buffer, name, kind, help string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// markdown writes the page. charts are the file names, without extension, of the
// sections that have a chart.
func (r *run) markdown(w io.Writer, charts map[*section]string) error {
	var b strings.Builder
	b.WriteString("# objseal beside its peers\n\n")
	if o := r.origin(); o != "" {
		fmt.Fprintf(&b, "%s\n\n", o)
	}
	b.WriteString("Medians. In brackets: how many times better the column without brackets is.\n" +
		"1 GB/s is 10⁹ bytes of plaintext a second. What the implementations are is told in bench/README.md.\n")
	for _, s := range r.sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title())
		if name, ok := charts[s]; ok {
			fmt.Fprintf(&b, "![%s](%s.svg)\n\n", s.title(), name)
		}
		s.table(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table writes the section's figures, and its allocations if there are any.
func (s *section) table(b *strings.Builder) {
	unit, reference := s.unit(), s.reference()
	s.grid(b, heading[unit], func(at row, impl string) string {
		v, ok := s.cells[cellKey{at, impl}].median(unit)
		if !ok {
			return ""
		}
		text := show(unit, v)
		ours, ok := s.cells[cellKey{at, reference}].median(unit)
		if impl == reference || !ok || v == 0 || ours == 0 {
			return text
		}
		ratio := ours / v // of speeds; of times and bytes less is better
		if unit != "B/s" {
			ratio = v / ours
		}
		if ratio < 1 {
			return fmt.Sprintf("%s (%.2f ×)", text, ratio)
		}
		return fmt.Sprintf("%s (%s ×)", text, digits(ratio))
	})
	if !s.has("allocs/op") {
		return
	}
	b.WriteString("\n")
	s.grid(b, "allocations (bytes)", func(at row, impl string) string {
		c := s.cells[cellKey{at, impl}]
		n, ok := c.median("allocs/op")
		size, _ := c.median("B/op")
		switch {
		case !ok:
			return ""
		case n == 0:
			return "0"
		}
		return fmt.Sprintf("%.0f (%.0f)", n, size)
	})
}

func (s *section) has(unit string) bool {
	for _, c := range s.cells {
		if len(c.values[unit]) > 0 {
			return true
		}
	}
	return false
}

// grid writes one Markdown table.
func (s *section) grid(b *strings.Builder, corner string, cell func(row, string) string) {
	fmt.Fprintf(b, "| %s |", corner)
	for _, impl := range s.impls {
		fmt.Fprintf(b, " %s |", impl)
	}
	b.WriteString("\n|:--|" + strings.Repeat("--:|", len(s.impls)) + "\n")
	for _, at := range s.rows {
		fmt.Fprintf(b, "| %s |", at)
		for _, impl := range s.impls {
			fmt.Fprintf(b, " %s |", cell(at, impl))
		}
		b.WriteString("\n")
	}
}

func (r row) String() string {
	return strings.TrimSpace(prettySize(r.size) + " " + r.rest)
}

// prettySize puts a space between number and unit.
func prettySize(size string) string {
	return sizePattern.ReplaceAllString(size, "$1 $2")
}

var heading = map[string]string{"B/s": "GB/s", "B/stream": "KiB a stream", "sec/op": "µs"}

func show(unit string, v float64) string {
	switch unit {
	case "B/s":
		return digits(v / 1e9)
	case "B/stream":
		return digits(v / 1024)
	default:
		return digits(v * 1e6)
	}
}

// digits writes v with three significant digits, and without an exponent.
func digits(v float64) string {
	if v <= 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(v)))
	return fmt.Sprintf("%.*f", min(max(decimals, 0), 6), v)
}

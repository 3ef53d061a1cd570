package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/objseal/objseal/stream"
)

// A style is how a table is drawn.
type style struct {
	unicode bool
	width   int // columns
}

// styleOf looks at what w is: block characters are for a terminal that knows
// them, a pipe gets ASCII.
func styleOf(w io.Writer) style {
	s := style{width: 80}
	if !isTerminal(w) {
		return s
	}
	s.unicode = utf8Locale(os.Getenv) && os.Getenv("TERM") != "dumb"
	if columns, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && columns > 0 {
		s.width = min(s.width, columns)
	}
	return s
}

// utf8Locale: the first of these that is set decides (POSIX, 8.2).
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// wrap breaks text into lines that fit.
func (s style) wrap(text string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > s.width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// eighths are the parts of a block.
var eighths = []rune("▏▎▍▌▋▊▉")

// bar draws part of width columns. What is longer than that ends in an arrow,
// and what there is of anything can be seen.
func (s style) bar(part float64, width int) string {
	full, end := "#", ">"
	if s.unicode {
		full, end = "█", "▶"
	}
	switch {
	case width <= 0 || !(part > 0):
		return ""
	case part > 1:
		return strings.Repeat(full, width-1) + end
	case !s.unicode:
		return strings.Repeat(full, max(1, int(math.Round(part*float64(width)))))
	}
	n := max(1, int(math.Round(part*float64(8*width))))
	b := strings.Repeat(full, n/8)
	if n%8 > 0 {
		b += string(eighths[n%8-1])
	}
	return b
}

// Columns of the table; bars take the rest of the width.
const (
	nameWidth  = 20
	speedWidth = 8
	ratioWidth = 8
)

// table draws rows, which come in order, under a heading for each cipher and
// kind of work.
func (s style) table(rows []speedRow) string {
	longest := 0.0
	for _, r := range rows {
		if !r.offScale() {
			longest = max(longest, r.BytesPerSecond)
		}
	}
	times := "x std"
	if s.unicode {
		times = "× std"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%*s%*s\n", nameWidth+speedWidth, "GB/s", ratioWidth, times)
	heading := ""
	for _, r := range rows {
		if h := r.heading(); h != heading {
			heading = h
			fmt.Fprintln(&b, heading)
		}
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.1f", r.Ratio)
		}
		line := fmt.Sprintf("  %-*s%*s%*s  ", nameWidth-2, r.name(), speedWidth, gigabytes(r.BytesPerSecond), ratioWidth, ratio)
		bar := s.bar(r.BytesPerSecond/longest, s.width-utf8.RuneCountInString(line))
		fmt.Fprintln(&b, strings.TrimRight(line+bar, " "))
	}
	return b.String()
}

// offScale: a copy that stays in the processor's caches is so fast that it would
// leave nothing of the other bars.
func (r speedRow) offScale() bool { return r.Operation == copyMemory && r.Size <= stream.PayloadSize }

func (r speedRow) heading() string {
	switch r.Operation {
	case copyMemory:
		return "memory copy, the roof"
	case sealPackage, openPackage:
		return r.Cipher + ", one package of " + sizeName(r.Size)
	}
	return r.Cipher + ", whole streams, " + r.Kernel
}

func (r speedRow) name() string {
	switch operation := map[string]string{sealPackage: "seal", openPackage: "open", sealBuffer: "buffer", sealReader: "reader", copyMemory: ""}[r.Operation]; operation {
	case "":
		return fmt.Sprintf("%14s", sizeName(r.Size))
	case "seal", "open":
		return fmt.Sprintf("%-8s%s", operation, r.Kernel)
	default:
		return fmt.Sprintf("%-8s%6s", operation, sizeName(r.Size))
	}
}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// gigabytes gives three digits, with the points of a column in one line.
func gigabytes(perSecond float64) string {
	switch g := perSecond / 1e9; {
	case g < 9.995:
		return fmt.Sprintf("%.2f", g)
	case g < 99.95:
		return fmt.Sprintf("%.1f ", g)
	default:
		return fmt.Sprintf("%.0f   ", g)
	}
}

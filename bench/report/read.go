package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// A run is what all files say together.
type run struct {
	config   map[string]string // machine, Go version, commit …; of the last file
	sections []*section
}

// A section is one comparison: everything that differs only in the rows and in
// who does it.
type section struct {
	bench  string   // without "Benchmark"
	labels []string // values that all of it has in common: cipher, etag, op
	cores  int
	rows   []row
	impls  []string // columns, objseal first
	cells  map[cellKey]*cell
}

// A row is a size and whatever else varies inside of a section.
type row struct {
	rest string // labels but the size, as in the name
	size string
}

type cellKey struct {
	row  row
	impl string
}

// A cell has all measurements of one name, by unit.
type cell struct{ values map[string][]float64 }

// median returns the middle value in a unit; of an even number the lower middle,
// which was measured, too.
func (c *cell) median(unit string) (float64, bool) {
	if c == nil || len(c.values[unit]) == 0 {
		return 0, false
	}
	v := slices.Sorted(slices.Values(c.values[unit]))
	return v[(len(v)-1)/2], true
}

// Labels that make a section of their own, in the order of the title.
var sectionLabels = []string{"op", "cipher", "etag"}

func read(files []string) (*run, error) {
	r := &run{config: make(map[string]string)}
	in := benchfmt.Files{Paths: files}
	for in.Scan() {
		switch line := in.Result().(type) {
		case *benchfmt.Result:
			for _, c := range line.Config {
				r.config[c.Key] = string(c.Value)
			}
			r.add(line)
		case *benchfmt.SyntaxError:
			return nil, line
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(r.sections) == 0 {
		return nil, errors.New("no benchmark results in these files")
	}
	for _, s := range r.sections {
		s.sort()
	}
	return r, nil
}

// add takes one line. A line without impl= has nobody to be compared with and is
// left out.
func (r *run) add(line *benchfmt.Result) {
	base, parts := line.Name.Parts()
	s := &section{bench: string(base), cores: 1}
	var at row
	impl, workers := "", "1"
	common := make(map[string]string)
	for _, part := range parts {
		if n, ok := strings.CutPrefix(string(part), "-"); ok {
			s.cores, _ = strconv.Atoi(n)
			continue
		}
		key, value, _ := strings.Cut(strings.TrimPrefix(string(part), "/"), "=")
		switch {
		case key == "impl":
			impl = value
		case key == "workers":
			workers = value
		case key == "cores": // said by a benchmark that starts processes itself
			s.cores, _ = strconv.Atoi(value)
		case key == "size":
			at.size = value
		case slices.Contains(sectionLabels, key):
			common[key] = value
		default:
			at.rest = strings.TrimSpace(at.rest + " " + key + "=" + value)
		}
	}
	if impl == "" {
		return
	}
	if workers != "1" {
		impl += " ×" + workers
	}
	for _, key := range sectionLabels {
		if value, ok := common[key]; ok {
			if key == "etag" {
				value = "ETag " + value
			}
			s.labels = append(s.labels, value)
		}
	}
	i := slices.IndexFunc(r.sections, func(o *section) bool {
		return o.bench == s.bench && o.cores == s.cores && slices.Equal(o.labels, s.labels)
	})
	if i < 0 {
		s.cells = make(map[cellKey]*cell)
		r.sections = append(r.sections, s)
		i = len(r.sections) - 1
	}
	r.sections[i].put(at, impl, line.Values)
}

func (s *section) put(at row, impl string, values []benchfmt.Value) {
	if !slices.Contains(s.rows, at) {
		s.rows = append(s.rows, at)
	}
	if !slices.Contains(s.impls, impl) {
		s.impls = append(s.impls, impl)
	}
	key := cellKey{at, impl}
	if s.cells[key] == nil {
		s.cells[key] = &cell{make(map[string][]float64)}
	}
	for _, v := range values {
		s.cells[key].values[v.Unit] = append(s.cells[key].values[v.Unit], v.Value)
	}
}

// order is that of columns and lines: ours, then the peers, then the roof.
var order = []string{"objseal-fused", "objseal", "objseal-avx2", "objseal-avx", "objseal-readerat", "objseal-generic", "sio", "sio-reader", "tink", "age", "cipher", "crypto-md5", "md5-simd", "copy", "memcpy"}

func rank(impl string) int {
	name, _, _ := strings.Cut(impl, " ")
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

func (s *section) sort() {
	slices.SortStableFunc(s.impls, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	slices.SortStableFunc(s.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(bytesOf(a.size), bytesOf(b.size)), cmp.Compare(a.rest, b.rest))
	})
}

var sizePattern = regexp.MustCompile(`^([0-9]+)(B|KiB|MiB|GiB)$`)

// bytesOf reads a size; 0 for what is none.
func bytesOf(size string) float64 {
	m := sizePattern.FindStringSubmatch(size)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n * map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
}

// reference is who the others are compared with.
func (s *section) reference() string {
	for _, impl := range []string{"objseal", "crypto-md5"} {
		if slices.Contains(s.impls, impl) {
			return impl
		}
	}
	return s.impls[0]
}

// unit is what the section is about.
func (s *section) unit() string {
	for _, unit := range []string{"B/stream", "B/s"} {
		for _, c := range s.cells {
			if len(c.values[unit]) > 0 {
				return unit
			}
		}
	}
	return "sec/op"
}

// titles say what is measured.
var titles = map[string]string{
	"EncryptReader":     "Encrypting reader",
	"DecryptReader":     "Decrypting reader",
	"EncryptWriter":     "Encrypting writer",
	"DecryptWriter":     "Decrypting writer",
	"Seal":              "Seal, buffer to buffer",
	"Open":              "Open, buffer to buffer",
	"RangeRead":         "A 4 KiB range out of an object",
	"AEADSeal":          "Seal a single message",
	"AEADOpen":          "Open a single message",
	"SealObject":        "Seal a whole object, keys and metadata",
	"OpenObject":        "Open a whole object, keys and metadata",
	"ConcurrentStreams": "A thousand streams at once",
	"HeapPerStream":     "Heap held by an open stream",
	"FileCopy":          "File to file, in the process",
	"FileProcess":       "File to file, whole processes",
	"MD5":               "MD5 of several streams",
}

func (s *section) headline() string { return cmp.Or(titles[s.bench], s.bench) }

func (s *section) title() string {
	return strings.Join(append([]string{s.headline()}, s.subtitle()...), ", ")
}

func (s *section) subtitle() []string {
	cores := "one core"
	if s.cores > 1 {
		cores = fmt.Sprintf("%d cores", s.cores)
	}
	return append(slices.Clone(s.labels), cores)
}

func (s *section) slug() string {
	name := strings.ToLower(strings.Join(append([]string{s.bench}, s.labels...), "-"))
	name = strings.ReplaceAll(name, " ", "-")
	if s.cores > 1 {
		name += fmt.Sprintf("-%dcores", s.cores)
	}
	return name
}

// origin says where the figures come from.
func (r *run) origin() string {
	var parts []string
	for _, key := range []string{"cpu", "go", "commit", "date"} {
		if v := strings.Join(strings.Fields(r.config[key]), " "); v != "" {
			if key == "commit" {
				v = "commit " + v
			}
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " · ")
}

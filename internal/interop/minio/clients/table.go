package clients

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Difference is one way in which two servers answer differently, and the steps
// where they do.
type Difference struct {
	Steps        []string // expressions, see Match
	MinIO, Other string
	Reason       string
}

// A found is a difference at one step of one client.
type found struct {
	step         string // with the client in front
	minIO, other string
}

// fullStep is the name of a row that no other row of a run has.
func (r *Row) fullStep() string { return r.Client + " " + r.Step() }

// compare returns what differs between two runs of the program, and all steps.
func compare(minIO, other []Row) (differences []found, steps []string) {
	left := make(map[string]*Row)
	for i := range minIO {
		left[minIO[i].fullStep()] = &minIO[i]
	}
	for i := range other {
		step := other[i].fullStep()
		steps = append(steps, step)
		one := left[step]
		delete(left, step)
		if one == nil {
			differences = append(differences, found{step, "no such step", "a step"})
			continue
		}
		for _, d := range fields(one.Fields, other[i].Fields) {
			differences = append(differences, found{step, d[0], d[1]})
		}
	}
	for step := range left {
		steps = append(steps, step)
		differences = append(differences, found{step, "a step", "no such step"})
	}
	return differences, steps
}

// fields returns what differs between two answers, in words. Where one is another
// error than the other, nothing else is looked at.
func fields(a, b map[string]string) (differences [][2]string) {
	outcome := func(f map[string]string) string { return strings.TrimSpace(f["status"] + " " + f["code"]) }
	if outcome(a) != outcome(b) {
		return [][2]string{{outcome(a), outcome(b)}}
	}
	names := sortedKeys(a)
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var checksums, encryption [2][]string
	for _, name := range names {
		before, in1 := a[name]
		after, in2 := b[name]
		if before == after && in1 == in2 {
			continue
		}
		switch {
		case strings.HasPrefix(name, "X-Amz-Checksum-") && in1 != in2:
			// Its value is that of the content.
			short := strings.ToUpper(strings.TrimPrefix(name, "X-Amz-Checksum-"))
			if short == "TYPE" {
				short = before + after
			}
			if in1 {
				checksums[0] = append(checksums[0], short)
			} else {
				checksums[1] = append(checksums[1], short)
			}
		case strings.Contains(name, "Server-Side-Encryption") && in1 != in2:
			if in1 {
				encryption[0] = append(encryption[0], name)
			} else {
				encryption[1] = append(encryption[1], name)
			}
		case name == "checksum in the answer":
			x, y := strings.Split(before, ", "), strings.Split(after, ", ")
			x, y = without(x, y), without(y, x)
			for _, list := range [][]string{x, y} {
				for i, sum := range list { // its value is that of the content
					if kind, _, _ := strings.Cut(sum, " "); kind != "Type" {
						list[i] = kind
					}
				}
			}
			differences = append(differences, [2]string{show(name, strings.Join(x, ", "), in1), show(name, strings.Join(y, ", "), in2)})
		case name == "result" && in1 && in2:
			x, y := strings.Split(before, "; "), strings.Split(after, "; ")
			differences = append(differences, [2]string{
				show(name, strings.Join(without(x, y), "; "), true), show(name, strings.Join(without(y, x), "; "), true)})
		default:
			differences = append(differences, [2]string{show(name, before, in1), show(name, after, in2)})
		}
	}
	for i, list := range [][2][]string{checksums, encryption} {
		if len(list[0])+len(list[1]) == 0 {
			continue
		}
		var texts [2]string
		for j := range texts {
			what := []string{"checksum header", "encryption header"}[i]
			switch {
			case len(list[j]) == 0:
				texts[j] = "no " + what
			case i == 0:
				texts[j] = what + " " + strings.Join(list[j], ", ")
			case len(list[1-j]) == 0:
				texts[j] = what
			default:
				texts[j] = strings.Join(list[j], ", ")
			}
		}
		differences = append(differences, texts)
	}
	return differences
}

func show(name, value string, there bool) string {
	if !there || value == "" {
		return "no " + name
	}
	return name + ": " + value
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

// Compare returns how the answers of another server differ from those of MinIO,
// each way once.
func Compare(minIO, other []Row) []Difference {
	all, steps := compare(minIO, other)
	byText := make(map[[2]string][]string)
	for _, d := range all {
		text := [2]string{d.minIO, d.other}
		byText[text] = append(byText[text], d.step)
	}
	var differences []Difference
	// What differs at the same steps is one line.
	bySteps := make(map[string]*Difference)
	for _, text := range slices.SortedFunc(maps.Keys(byText), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		expressions := abridge(byText[text], steps)
		where := strings.Join(expressions, separator)
		if d := bySteps[where]; d != nil {
			d.MinIO, d.Other = d.MinIO+separator+text[0], d.Other+separator+text[1]
			continue
		}
		bySteps[where] = &Difference{Steps: expressions, MinIO: text[0], Other: text[1]}
	}
	for _, d := range bySteps {
		differences = append(differences, *d)
	}
	slices.SortFunc(differences, func(a, b Difference) int {
		return strings.Compare(a.Steps[0]+a.MinIO+a.Other, b.Steps[0]+b.MinIO+b.Other)
	})
	return differences
}

// Check tells what the differences between two runs are that a table does not
// have, and what the table has of these steps that is no difference. Nil is a
// table that is right.
func Check(minIO, other []Row, table []Difference) (wrong []string) {
	all, steps := compare(minIO, other)
	is := make(map[found]bool)
	for _, d := range all {
		is[d] = true
	}
	listed := make(map[found]bool)
	for _, d := range table {
		minIO, other := strings.Split(d.MinIO, separator), strings.Split(d.Other, separator)
		for _, expression := range d.Steps {
			for _, step := range match(expression, steps) {
				for i := range min(len(minIO), len(other)) {
					listed[found{step, minIO[i], other[i]}] = true
				}
			}
		}
	}
	for d := range is {
		if !listed[d] {
			wrong = append(wrong, fmt.Sprintf("not listed: %s: MinIO %q, gateway %q", d.step, d.minIO, d.other))
		}
	}
	for d := range listed {
		if !is[d] {
			wrong = append(wrong, fmt.Sprintf("listed, but not so: %s: MinIO %q, gateway %q", d.step, d.minIO, d.other))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// KeepReasons gives differences the reasons that a table had for them: for the
// same answers, or else for one of their steps.
func KeepReasons(differences, table []Difference, rows []Row) {
	var steps []string
	for i := range rows {
		steps = append(steps, rows[i].fullStep())
	}
	byStep, byText := make(map[string]string), make(map[[2]string]string)
	for _, old := range table {
		byText[[2]string{old.MinIO, old.Other}] = old.Reason
		for _, expression := range old.Steps {
			for _, step := range match(expression, steps) {
				byStep[step] = old.Reason
			}
		}
	}
	for i := range differences {
		d := &differences[i]
		d.Reason = byText[[2]string{d.MinIO, d.Other}]
		for _, expression := range d.Steps {
			for _, step := range match(expression, steps) {
				if d.Reason == "" {
					d.Reason = byStep[step]
				}
			}
		}
	}
}

// Steps are words; a comma is a word of its own.
func words(step string) []string {
	return strings.Fields(strings.ReplaceAll(step+" ", ", ", " , "))
}

func sentence(words []string) string {
	return strings.ReplaceAll(strings.Join(words, " "), " , ", ", ")
}

// separator stands between several things in one cell of the table.
const separator = "<br>"

const bothClients = "{aws-sdk-go-v2,minio-go}"

// abridge names steps by few expressions: {a,b} is one of these words, * is any
// word that makes a step of all. Together they name these steps and no other.
func abridge(steps, all []string) []string {
	var sets [][][]string // expressions, words, alternatives
	for _, step := range slices.Sorted(slices.Values(steps)) {
		var set [][]string
		for _, w := range words(step) {
			set = append(set, []string{w})
		}
		sets = append(sets, set)
	}
	for changed := true; changed; {
		changed = false
		for i := 0; i < len(sets); i++ {
			for j := i + 1; j < len(sets); j++ {
				if at := onlyDifference(sets[i], sets[j]); at >= 0 {
					sets[i][at] = slices.Sorted(slices.Values(append(sets[i][at], sets[j][at]...)))
					sets = slices.Delete(sets, j, j+1)
					changed = true
					j--
				}
			}
		}
	}
	var expressions []string
	for _, set := range sets {
		var text []string
		for _, alternatives := range set {
			if len(alternatives) == 1 {
				text = append(text, alternatives[0])
			} else {
				text = append(text, "{"+strings.Join(alternatives, ",")+"}")
			}
		}
		for i := 1; i < len(text); i++ { // shorter, where it names the same
			any := slices.Clone(text)
			if any[i] = "*"; strings.HasPrefix(text[i], "{") && len(match(sentence(any), all)) == len(match(sentence(text), all)) {
				text = any
			}
		}
		if text[0] == bothClients {
			text = text[1:]
		}
		expressions = append(expressions, sentence(text))
	}
	slices.Sort(expressions)
	return expressions
}

// onlyDifference returns the one word at which two expressions differ, else -1.
func onlyDifference(a, b [][]string) int {
	if len(a) != len(b) {
		return -1
	}
	at := -1
	for i := range a {
		if slices.Equal(a[i], b[i]) {
			continue
		}
		if at >= 0 || a[i][0] == "," || b[i][0] == "," { // which stands between alternatives
			return -1
		}
		at = i
	}
	return at
}

// match returns those of all steps that an expression names.
func match(expression string, all []string) (steps []string) {
	pattern := words(expression)
	if first := pattern[0]; first != "minio-go" && first != "aws-sdk-go-v2" && first != bothClients {
		pattern = append([]string{bothClients}, pattern...)
	}
	for _, step := range all {
		w := words(step)
		if len(w) != len(pattern) {
			continue
		}
		fits := true
		for i, p := range pattern {
			switch {
			case p == "*" || p == w[i]:
			case strings.HasPrefix(p, "{") && slices.Contains(strings.Split(strings.Trim(p, "{}"), ","), w[i]):
			default:
				fits = false
			}
		}
		if fits {
			steps = append(steps, step)
		}
	}
	return steps
}

// ParseTable reads the differences from the table of a page in Markdown.
func ParseTable(page string) ([]Difference, error) {
	var table []Difference
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 4 {
			return nil, fmt.Errorf("%d cells: %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		d := Difference{MinIO: cells[1], Other: cells[2], Reason: cells[3]}
		for _, expression := range strings.Split(cells[0], separator) {
			d.Steps = append(d.Steps, strings.Trim(expression, "`"))
		}
		table = append(table, d)
	}
	return table, nil
}

// FormatTable replaces the rows of the page's table.
func FormatTable(page string, table []Difference) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| `") {
			continue
		}
		b.WriteString(line)
		if !strings.HasPrefix(line, "|---") {
			continue
		}
		for _, d := range table {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.Join(d.Steps, "`"+separator+"`"), d.MinIO, d.Other, d.Reason)
		}
	}
	return b.String()
}

// Report turns runs of the benchmarks into a page to read: one Markdown table per
// comparison, implementations side by side, and charts as SVG and PNG.
//
//	go run ./report [-o DIR] run.txt...
//
// Several files, and several lines of one name, are one run: the median counts.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("o", "", "folder for report.md and the charts; default: the table to standard output, no charts")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := render(*dir, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "report: error: %v\n", err)
		os.Exit(1)
	}
}

func render(dir string, files []string) error {
	r, err := read(files)
	if err != nil {
		return err
	}
	if dir == "" {
		return r.markdown(os.Stdout, nil)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	charts := make(map[*section]string)
	for _, s := range r.sections {
		if !s.hasChart() {
			continue
		}
		charts[s] = s.slug()
		if err := s.chart(r.origin(), filepath.Join(dir, s.slug())); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "report.md"))
	if err != nil {
		return err
	}
	if err := r.markdown(f, charts); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

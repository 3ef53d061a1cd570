package clients

import (
	"fmt"
	"slices"
	"testing"
)

// What abridge says of some steps, match reads as just these.
func TestAbridge(t *testing.T) {
	var all []string
	for _, client := range []string{"aws-sdk-go-v2", "minio-go"} {
		for _, group := range []string{"get", "head"} {
			for _, scheme := range []string{"none", "S3", "C"} {
				for _, what := range []string{"part", "part 2, again", "1, of 3", "1, of 4"} {
					all = append(all, fmt.Sprintf("%s %s: %s %s", client, group, scheme, what))
				}
			}
		}
	}
	sets := map[string][]string{"all": all, "one": all[5:6], "half": all[:len(all)/2], "some": {all[0], all[1], all[7], all[9], all[30], all[31]}}
	for n := range 50 { // of every kind
		var set []string
		for i, step := range all {
			if (i*i+n*i+n)%7 < 3 {
				set = append(set, step)
			}
		}
		sets[fmt.Sprint("pattern ", n)] = set
	}
	for name, set := range sets {
		var got []string
		for _, expression := range abridge(set, all) {
			got = append(got, match(expression, all)...)
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(set)); !slices.Equal(got, want) {
			t.Errorf("%s: %q names %q, not %q", name, abridge(set, all), got, want)
		}
	}
	if got := abridge(all, all); len(got) > 3 {
		t.Errorf("all steps are %q", got)
	}
}

// A table is right only for just what differs.
func TestCheck(t *testing.T) {
	rows := func(status, etag string) []Row {
		return []Row{
			{Client: "minio-go", Group: "get", Case: "S3 1", Fields: map[string]string{"status": status, "etag": "md5"}},
			{Client: "aws-sdk-go-v2", Group: "get", Case: "S3 1", Fields: map[string]string{"status": status, "etag": etag}},
			{Client: "minio-go", Group: "get", Case: "C 1", Fields: map[string]string{"status": "200", "X-Amz-Checksum-Crc32": "AAAAAA=="}},
		}
	}
	minIO, other := rows("200", "md5"), rows("200", "opaque")
	delete(other[2].Fields, "X-Amz-Checksum-Crc32")
	table := Compare(minIO, other)
	if len(table) != 2 || len(Check(minIO, other, table)) > 0 {
		t.Fatalf("%+v: %q", table, Check(minIO, other, table))
	}
	if wrong := Check(minIO, minIO, table); len(wrong) != 2 {
		t.Errorf("nothing differs, and of two lines %q are wrong", wrong)
	}
	if wrong := Check(minIO, other, table[:1]); len(wrong) != 1 {
		t.Errorf("a line is missing, and this is wrong: %q", wrong)
	}
	if wrong := Check(minIO, rows("404", "md5"), table); len(wrong) != 4 {
		t.Errorf("two new differences instead of two old ones: %q", wrong)
	}
	if wrong := Check(minIO[:2], minIO, nil); len(wrong) != 1 {
		t.Errorf("a step that only one has: %q", wrong)
	}

	page := "# Page\n\n| Step | MinIO | gateway | Reason |\n|---|---|---|---|\n\nMore.\n"
	table[0].Reason, table[1].Reason = "one", "two"
	page = FormatTable(page, table)
	read, err := ParseTable(page)
	if err != nil || len(read) != 2 || !slices.Equal(read[0].Steps, table[0].Steps) || read[1].Reason != "two" {
		t.Fatalf("%+v, %v from\n%s", read, err, page)
	}
	if again := FormatTable(page, read); again != page {
		t.Errorf("written again it is\n%s", again)
	}
	fresh := Compare(minIO, other)
	KeepReasons(fresh, read, other)
	if fresh[0].Reason != "one" || fresh[1].Reason != "two" {
		t.Errorf("the reasons are lost: %+v", fresh)
	}
}

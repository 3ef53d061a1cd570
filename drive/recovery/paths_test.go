package recovery

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const someID = "0a0b0c0d-1111-4111-8111-000000000001"

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		name string
		item Item
		want []string // of the last one only the beginning
	}{
		{"latest", Item{Bucket: "b", Object: "o/p", VersionID: "null", IsLatest: true}, []string{"b/o/p", ".versions/b/o/p/null", ".versions/.names/"}},
		{"older", Item{Bucket: "b", Object: "o/p", VersionID: someID}, []string{".versions/b/o/p/" + someID, ".versions/.names/"}},
		{"nested", Item{Bucket: "b", Object: "o", VersionID: "null", IsLatest: true, Nested: true}, []string{".versions/b/o/null", ".versions/.names/"}},
		{"trailing slash", Item{Bucket: "b", Object: "o/", VersionID: "null", IsLatest: true}, []string{"b/o__XLDIR__", ".versions/b/o__XLDIR__/null", ".versions/.names/"}},
		{"system", Item{Bucket: ".minio.sys", Object: "config/config.json", VersionID: "null", IsLatest: true}, []string{".minio.sys/config/config.json", ".versions/.minio.sys/config/config.json/null", ".versions/.names/"}},
		{"upload", Item{Bucket: "b", Object: "o", VersionID: "upload:u", UploadID: "u", IsLatest: true}, []string{".uploads/b/o/u", ".uploads/.names/"}},
		{"upload without a name", Item{UploadID: "u", nameHash: "abc"}, []string{".uploads/.names/abc/u"}},
		{"unsettled", Item{Bucket: "b", Object: "o", VersionID: someID, place: someID + "-unsettled-1"}, []string{".versions/b/o/" + someID + "-unsettled-1", ".versions/.names/"}},
		{"hostile version", Item{Bucket: "b", Object: "o", VersionID: "../../x"}, []string{".versions/b/o/" + sumOf("../../x"), ".versions/.names/"}},
	} {
		got := Places(&test.item)
		last := len(got) - 1
		if len(got) != len(test.want) || !slices.Equal(got[:last], test.want[:last]) || !strings.HasPrefix(got[last], test.want[last]) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for _, name := range [][2]string{{"b", ""}, {"b", "."}, {"b", ".."}, {"b", "../x"}, {"b", "a/../../x"}, {"b", "a//b"}, {"b", "/etc/passwd"}, {"b", "a\x00b"}, {"..", "x"}, {".", "x"},
		{"", "x"}, {"a/b", "x"}, {".versions", "x"}, {".uploads", "x"}, {".partial", "x"}} {
		got := Places(&Item{Bucket: name[0], Object: name[1], VersionID: "null", IsLatest: true})
		if len(got) != 1 || !strings.HasPrefix(got[0], ".versions/.names/") {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// FuzzPlaces: no name leads out of the tree, and places of different items differ.
func FuzzPlaces(f *testing.F) {
	f.Add("b", "o", "null", "b", "o/", "null", true)
	f.Add("b", "o__XLDIR__", "null", "b", "o/", "null", true)
	f.Add("..", "../x", "..", ".versions", "b/o/null", "null", false)
	f.Add("a", "b/c", "v", "a/b", "c", "v", false)
	f.Fuzz(func(t *testing.T, b1, o1, v1, b2, o2, v2 string, latest bool) {
		one := Places(&Item{Bucket: b1, Object: o1, VersionID: v1, IsLatest: latest})
		two := Places(&Item{Bucket: b2, Object: o2, VersionID: v2, IsLatest: latest})
		for _, p := range slices.Concat(one, two) {
			if !filepath.IsLocal(filepath.FromSlash(p)) || path.Clean(p) != p || strings.HasPrefix(p, partialDir) {
				t.Errorf("%q", p)
			}
		}
		// The last place is never taken by another, whose name is not the same in a path.
		if (b1+"/"+o1 != b2+"/"+o2 || v1 != v2) && one[len(one)-1] == two[len(two)-1] {
			t.Errorf("%q and %q share %q", b1+"/"+o1, b2+"/"+o2, one[len(one)-1])
		}
	})
}

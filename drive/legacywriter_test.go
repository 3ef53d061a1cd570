package drive

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
	"time"
)

// legacyShard returns the shard file of a legacy version, and its hash.
func legacyShard(t testing.TB, v *version, pieces [][]byte) ([]byte, wholeSum) {
	if v.bitrot == "" || v.bitrot == streaming {
		return framed(pieces), wholeSum{streaming, nil}
	}
	file := bytes.Join(pieces, nil)
	h, err := newWholeHash(v.bitrot)
	if err != nil {
		t.Fatal(err)
	}
	h.Write(file)
	return file, wholeSum{v.bitrot, h.Sum(nil)}
}

func (v *version) bitrotNumber() int {
	return map[string]int{"sha256": 1, "highwayhash256": 2, "": 3, streaming: 3, "blake2b": 4}[v.bitrot]
}

// legacyJSON turns the fields of a V1Obj into those of an xl.json.
func legacyJSON(f map[string]any) map[string]any {
	erasure := f["Erasure"].(map[string]any)
	var checksums, parts []any
	for _, c := range erasure["Checksums"].([]any) {
		c := c.(map[string]any)
		name := [...]string{1: "sha256", 2: "highwayhash256", 3: streaming, 4: "blake2b"}[c["Algorithm"].(int)]
		sum, _ := c["Hash"].([]byte)
		checksums = append(checksums, map[string]any{"name": fmt.Sprintf("part.%d", c["PartNumber"]), "algorithm": name, "hash": hex.EncodeToString(sum)})
	}
	for _, p := range f["Parts"].([]any) {
		p := p.(map[string]any)
		parts = append(parts, map[string]any{"number": p["n"], "name": fmt.Sprintf("part.%d", p["n"]), "etag": p["e"], "size": p["s"], "actualSize": p["as"]})
	}
	stat := f["Stat"].(map[string]any)
	return map[string]any{"version": f["Version"], "format": f["Format"],
		"stat": map[string]any{"size": stat["Size"], "modTime": stat["ModTime"].(time.Time).UTC().Format(time.RFC3339Nano)},
		"erasure": map[string]any{"algorithm": erasure["Algorithm"], "data": erasure["DataBlocks"], "parity": erasure["ParityBlocks"],
			"blockSize": erasure["BlockSize"], "index": erasure["Index"], "distribution": erasure["Distribution"], "checksum": checksums},
		"minio": map[string]any{"release": "2019"}, "meta": f["Meta"], "parts": parts}
}

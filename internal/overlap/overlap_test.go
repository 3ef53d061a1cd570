package overlap

import "testing"

func Test(t *testing.T) {
	b := make([]byte, 100)
	for _, test := range []struct {
		a, b         []byte
		any, inexact bool
	}{
		{nil, b, false, false},
		{b[10:10], b, false, false},
		{b[:50], b[50:], false, false},
		{b[:51], b[50:], true, true},
		{b[50:], b[:51], true, true},
		{b[:50], b, true, false},
		{b, b[99:], true, true},
		{b, make([]byte, 100), false, false},
	} {
		if Any(test.a, test.b) != test.any || Inexact(test.a, test.b) != test.inexact {
			t.Errorf("%d and %d bytes: Any %v, Inexact %v", len(test.a), len(test.b), Any(test.a, test.b), Inexact(test.a, test.b))
		}
	}
}

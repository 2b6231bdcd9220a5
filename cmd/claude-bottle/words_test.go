package main

import (
	"testing"
	"time"
)

func TestAgesAreInDaysToo(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 30 * 24 * time.Hour, "0d": 0, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		var age ageValue
		if err := age.Set(text); err != nil || time.Duration(age) != want {
			t.Errorf("%s is %v, error %v", text, time.Duration(age), err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-1h", "3", "1.5d", "99999999999d", "4294967295d"} {
		var age ageValue
		if err := age.Set(text); err == nil {
			t.Errorf("%q is taken as %v", text, time.Duration(age))
		}
	}
	day := ageValue(30 * 24 * time.Hour)
	if day.String() != "30d" {
		t.Errorf("30 days are %s", day.String())
	}
}

// Package proven holds the table that ships of which claude was seen to answer on which
// runtime. It holds nothing but what was measured, by `claude-bottle doctor`.
package proven

// Package provision gathers what goes into a bottle before claude is started:
// the agent's prompt, skills, SSH entries, claude's settings, the environment,
// and the working directory with its repository. Each is read once while
// planning and becomes a tar stream; nothing of the host is followed out of the
// directory that was named, and nothing that looks like a secret goes along
// unasked. Where the streams end up is the Target's.
package provision

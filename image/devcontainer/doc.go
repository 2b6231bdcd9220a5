// Package devcontainer reads the devcontainer.json of a repository, and says what a bottle
// takes of it: image, environment, commands and ports. Such a file is foreign. It may say
// what is so inside the bottle, and gets nothing of the host for it: no variable, no file
// outside its repository, no mount, no command.
package devcontainer

// Package conf reads the configuration: one YAML file and the environment become one typed
// [Config], checked as a whole, or one [Error] that names the place, the key, the value and the
// cure.
//
// The struct tags of Config are the only list of settings there is. The file, the environment
// names and the bounds of each value all follow from them, so a setting is added in one place.
// The file is read from its syntax tree rather than decoded, because every fault has to be told
// with the line it stands in. Anchors, aliases and tags of YAML are refused: no setting needs
// them, and they are how a small file becomes a large one.
//
// The package knows no other package of Gudok.
package conf

// SPDX-License-Identifier: MIT
#include "switch/network/paths.h"

#include <pwd.h>

#include <cstdlib>

#include "switch/base/own_identity.h"

namespace lanyard {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// As the XDG base directory specification wants it: a relative path counts as none.
std::string absolute_variable(const char* name) {
  std::string value = variable(name);
  return value.starts_with('/') ? value : std::string();
}

bool is_root() {
  return own_user() == 0;
}

std::string home() {
  if (std::string value = absolute_variable("HOME"); !value.empty()) return value;
  const passwd* entry = ::getpwuid(own_user());
  return entry == nullptr ? std::string("/") : std::string(entry->pw_dir);
}

// $VARIABLE/rest, or ~/fallback/rest.
std::string below_xdg(const char* name, const std::string& fallback, const std::string& rest) {
  const std::string directory = absolute_variable(name);
  return (directory.empty() ? home() + "/" + fallback : directory) + "/" + rest;
}

}  // namespace

std::string runtime_directory() {
  if (std::string moved = variable("LANYARD_RUNTIME_DIR"); !moved.empty()) return moved;
  if (is_root()) return "/run/lanyard";
  const std::string directory = absolute_variable("XDG_RUNTIME_DIR");
  return directory.empty() ? "/tmp/lanyard-" + std::to_string(own_user()) : directory + "/lanyard";
}

std::string state_directory() {
  if (std::string moved = variable("LANYARD_STATE_DIR"); !moved.empty()) return moved;
  if (is_root()) return "/var/lib/lanyard";
  return below_xdg("XDG_STATE_HOME", ".local/state", "lanyard");
}

std::string control_socket_path() {
  if (std::string moved = variable("LANYARD_CONTROL"); !moved.empty()) return moved;
  return runtime_directory() + "/control";
}

std::string default_config_path() {
  if (std::string moved = variable("LANYARD_CONFIG"); !moved.empty()) return moved;
  if (is_root()) return "/etc/lanyard/lanyard.toml";
  return below_xdg("XDG_CONFIG_HOME", ".config", "lanyard/lanyard.toml");
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// A configuration as a file of as few lines as say it.
#include <algorithm>

#include "switch/network/config_defaults.h"
#include "switch/network/config_fields.h"
#include "switch/network/config_file.h"

namespace lanyard {
namespace {

// A basic string of TOML.
std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      append(out, "\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string key_text(std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  return bare ? std::string(key) : toml_string(key);
}

std::string value_text(const ConfigJson& value) {
  if (value.is_null()) return "\"none\"";
  if (value.is_string()) return toml_string(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value.dump();
  std::string text;
  if (value.is_array()) {
    for (const auto& element : value)
      append(text, "{}{}", text.empty() ? "" : ", ", value_text(element));
    return "[" + text + "]";
  }
  for (const auto& [key, member] : value.items()) {
    append(text, "{}{} = {}", text.empty() ? " " : ", ", key_text(key), value_text(member));
  }
  return "{" + text + " }";
}

bool is_table_list(const ConfigJson& value) {
  return value.is_array() && !value.empty() && value.front().is_object();
}

// An element of a list without what is as in an empty one.
template <typename T>
void prune(ConfigJson& object, const T& empty) {
  for (const ConfigField<T>& field : config_fields(&empty)) {
    const std::string key(field.key);
    if (object.contains(key) && object[key] == field.get(empty)) object.erase(key);
  }
}

void write_tables(std::string& out, const std::string& path, const ConfigLeaf& leaf) {
  for (ConfigJson element : leaf.value) {
    if (leaf.key == "guest") prune(element, HostConfig{});
    if (leaf.key == "socket") prune(element, SocketConfig{});
    if (leaf.key == "guard.group") prune(element, BandwidthGroup{});
    append(out, "\n[[{}]]\n", path);
    for (const auto& [key, member] : element.items()) {
      append(out, "{} = {}\n", key_text(key), value_text(member));
    }
  }
}

// A network of only those leaves.
NetworkConfig network_of(const std::string& name, const std::vector<ConfigLeaf>& leaves,
                         const ConfigPresence& present) {
  Json tree = Json::object();
  for (const ConfigLeaf& leaf : leaves) {
    if (!present.contains(leaf.key)) continue;
    const std::size_t dot = leaf.key.find('.');
    if (dot == std::string::npos) {
      tree[leaf.key] = leaf.value;
    } else {
      tree[leaf.key.substr(0, dot)][leaf.key.substr(dot + 1)] = leaf.value;
    }
  }
  ConfigReport ignored;
  NetworkConfig network;
  network.name = name;
  decode(network, tree, ignored);
  resolve(network, present);
  return network;
}

// Nothing follows from these, and they may be long: they are written when there is something.
bool is_long_list(std::string_view key) {
  return key == "guest" || key == "forward" || key == "dns.record";
}

bool same_leaves(const std::vector<ConfigLeaf>& a, const std::vector<ConfigLeaf>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](const ConfigLeaf& x, const ConfigLeaf& y) { return x.value == y.value; });
}

// The keys that must be written so that the defaults lead to the rest. Some defaults follow from
// other values, so it goes on until nothing differs; then what turned out to follow is taken out.
ConfigPresence needed_keys(const std::string& name, const std::vector<ConfigLeaf>& all) {
  ConfigPresence needed{"kind"};
  std::vector<ConfigLeaf> leaves;
  ConfigPresence lists;
  for (const ConfigLeaf& leaf : all) {
    if (is_long_list(leaf.key) && !leaf.value.empty()) lists.insert(leaf.key);
    leaves.push_back(leaf);
    if (is_long_list(leaf.key)) leaves.back().value = ConfigJson::array();
  }
  for (std::size_t known = 0; known != needed.size();) {
    known = needed.size();
    const auto got = config_leaves(network_of(name, leaves, needed));
    for (const ConfigLeaf& leaf : leaves) {
      const auto at = std::find_if(got.begin(), got.end(),
                                   [&](const ConfigLeaf& other) { return other.key == leaf.key; });
      if (at == got.end() || at->value != leaf.value) needed.insert(leaf.key);
    }
  }
  for (auto leaf = leaves.rbegin(); leaf != leaves.rend(); ++leaf) {
    if (leaf->key == "kind" || needed.erase(leaf->key) == 0) continue;
    if (!same_leaves(config_leaves(network_of(name, leaves, needed)), leaves)) {
      needed.insert(leaf->key);
    }
  }
  needed.insert(lists.begin(), lists.end());
  return needed;
}

void write_network(std::string& out, const NetworkConfig& network) {
  const auto leaves = config_leaves(network);
  const ConfigPresence needed = needed_keys(network.name, leaves);
  const std::string path = "network." + key_text(network.name);
  append(out, "{}[{}]\n", out.empty() ? "" : "\n", path);
  for (const ConfigLeaf& leaf : leaves) {
    if (leaf.key.find('.') != std::string::npos || !needed.contains(leaf.key)) continue;
    if (!is_table_list(leaf.value)) append(out, "{} = {}\n", leaf.key, value_text(leaf.value));
  }
  for (const std::string_view section : {"host", "dhcp", "dns", "policy", "guard"}) {
    const std::string prefix = std::string(section) + ".";
    bool begun = false;
    for (const ConfigLeaf& leaf : leaves) {
      if (!leaf.key.starts_with(prefix) || !needed.contains(leaf.key)) continue;
      if (is_table_list(leaf.value)) continue;
      if (!begun) append(out, "\n[{}.{}]\n", path, section);
      begun = true;
      append(out, "{} = {}\n", leaf.key.substr(prefix.size()), value_text(leaf.value));
    }
  }
  for (const ConfigLeaf& leaf : leaves) {
    if (!needed.contains(leaf.key) || !is_table_list(leaf.value)) continue;
    write_tables(out, path + "." + leaf.key, leaf);
  }
}

template <typename T>
void list_keys(std::vector<ConfigKey>& keys, const std::string& prefix) {
  for (const ConfigField<T>& field : config_fields(static_cast<const T*>(nullptr))) {
    keys.push_back({prefix + std::string(field.key), std::string(field.help)});
  }
}

void list_keys(std::vector<ConfigKey>& keys, const std::string& prefix,
               std::span<const ConfigKeyHelp> rows) {
  for (const ConfigKeyHelp& row : rows) {
    keys.push_back({prefix + std::string(row.key), std::string(row.help)});
  }
}

}  // namespace

std::string config_text(const Configuration& configuration) {
  std::string out;
  if (!configuration.control_group.empty() || !configuration.viewer_group.empty()) {
    out += "[control]\n";
    if (!configuration.control_group.empty()) {
      append(out, "group = {}\n", toml_string(configuration.control_group));
    }
    if (!configuration.viewer_group.empty()) {
      append(out, "viewers = {}\n", toml_string(configuration.viewer_group));
    }
  }
  for (const NetworkConfig& network : configuration.networks) write_network(out, network);
  return out;
}

std::vector<ConfigKey> config_keys() {
  const std::string network = "network.NAME.";
  std::vector<ConfigKey> keys;
  list_keys(keys, "control.", control_keys());
  list_keys<NetworkConfig>(keys, network);
  list_keys<SocketConfig>(keys, network + "socket.");
  list_keys<HostInterfaceConfig>(keys, network + "host.");
  list_keys<DhcpConfig>(keys, network + "dhcp.");
  list_keys<DhcpConfig::Route>(keys, network + "dhcp.route.");
  list_keys(keys, network + "dhcp.option.", dhcp_option_keys());
  list_keys<DnsConfig>(keys, network + "dns.");
  list_keys<DnsRecordConfig>(keys, network + "dns.record.");
  list_keys<PolicyConfig>(keys, network + "policy.");
  list_keys<GuardConfig>(keys, network + "guard.");
  list_keys<BindingConfig>(keys, network + "guard.binding.");
  list_keys<BandwidthGroup>(keys, network + "guard.group.");
  list_keys<HostConfig>(keys, network + "guest.");
  list_keys(keys, network + "guest.option.", dhcp_option_keys());
  list_keys(keys, network + "forward.", forward_keys());
  return keys;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/network/config_diff.h"

#include <algorithm>
#include <map>

#include "switch/network/config_defaults.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

// "dhcp.route" and the like are lists whose elements have no name; these are lists of named ones.
struct NamedList {
  std::string_view key;
  std::string_view what;
};
constexpr std::array<NamedList, 3> kNamedLists{
    {{"guest", "guest"}, {"forward", "forward"}, {"dns.record", "name"}}};

// A value as people read it: without quotes and without what is empty.
std::string value_text(const ConfigJson& value) {
  if (value.is_null()) return "none";
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? "none" : printable(text);
  }
  if (value.is_array()) {
    std::string text;
    for (const auto& element : value)
      append(text, "{}{}", text.empty() ? "" : ", ", value_text(element));
    return text.empty() ? "none" : text;
  }
  if (value.is_object()) {
    std::string text;
    for (const auto& [key, member] : value.items()) {
      const std::string part = value_text(member);
      if (part != "none") append(text, "{}{} {}", text.empty() ? "" : " ", key, part);
    }
    return text;
  }
  return value.dump();
}

// What an element of a named list is, without its name.
std::string element_text(std::string_view list, const ConfigJson& element) {
  if (list == "forward") {
    std::string from = element["from"].get<std::string>();
    if (const std::size_t colon = from.find(':'); !from.starts_with("unix:")) from[colon] = ' ';
    return fmt::format("{} -> {}", printable(from), printable(element["to"].get<std::string>()));
  }
  ConfigJson rest = element;
  rest.erase("name");
  return value_text(rest);
}

// By name; a name that is there twice by its text, too.
std::map<std::string, std::string> by_name(std::string_view list, const ConfigJson& elements) {
  std::map<std::string, std::string> texts;
  for (const auto& element : elements) {
    std::string name = printable(element["name"].get<std::string>());
    std::string& text = texts[std::move(name)];
    append(text, "{}{}", text.empty() ? "" : ", ", element_text(list, element));
  }
  return texts;
}

void compare_named(const NamedList& list, const ConfigJson& from, const ConfigJson& to,
                   const std::string& prefix, std::vector<std::string>& sentences) {
  const std::size_t before_count = sentences.size();
  const auto before = by_name(list.key, from);
  const auto after = by_name(list.key, to);
  for (const auto& [name, text] : before) {
    const auto at = after.find(name);
    if (at == after.end()) {
      sentences.push_back(fmt::format("{}{} {} removed: {}", prefix, list.what, name, text));
    } else if (at->second != text) {
      sentences.push_back(
          fmt::format("{}{} {} changed: {}; it was {}", prefix, list.what, name, at->second, text));
    }
  }
  for (const auto& [name, text] : after) {
    if (!before.contains(name)) {
      sentences.push_back(fmt::format("{}{} {} added: {}", prefix, list.what, name, text));
    }
  }
  if (sentences.size() == before_count) {
    sentences.push_back(fmt::format("{}the order of {}s changed", prefix, list.what));
  }
}

ConfigChange compare(const NetworkConfig& from, const NetworkConfig& to) {
  ConfigChange change;
  change.network = to.name;
  const std::string prefix = "network " + to.name + ": ";
  std::map<std::string, ConfigJson> before;
  for (ConfigLeaf& leaf : config_leaves(from)) before[leaf.key] = std::move(leaf.value);
  for (const ConfigLeaf& leaf : config_leaves(to)) {
    const auto at = before.find(leaf.key);
    const ConfigJson old = at == before.end() ? ConfigJson(nullptr) : at->second;
    if (at != before.end()) before.erase(at);
    if (old == leaf.value) continue;
    change.needs_restart |= !leaf.live;
    const auto named = std::find_if(kNamedLists.begin(), kNamedLists.end(),
                                    [&](const NamedList& list) { return list.key == leaf.key; });
    if (named != kNamedLists.end()) {
      compare_named(*named, old, leaf.value, prefix, change.sentences);
    } else {
      change.sentences.push_back(fmt::format("{}{}: {}, it was {}", prefix, leaf.key,
                                             value_text(leaf.value), value_text(old)));
    }
  }
  // What only the old one had: the interface of the host, or its absence.
  for (const auto& [key, value] : before) {
    change.needs_restart = true;
    if (!value.is_null()) {
      change.sentences.push_back(
          fmt::format("{}{}: none, it was {}", prefix, key, value_text(value)));
    }
  }
  return change;
}

std::string whole(const NetworkConfig& network) {
  return fmt::format("{}{}{}", kind_text(network.kind), network.subnet ? " " : "",
                     network.subnet ? network.subnet->text() : "");
}

void compare_control(const Configuration& from, const Configuration& to,
                     std::vector<ConfigChange>& changes) {
  ConfigChange change;
  const auto one = [&](std::string_view key, const std::string& before, const std::string& after) {
    if (before == after) return;
    change.sentences.push_back(
        fmt::format("control.{}: {}, it was {}", key, value_text(after), value_text(before)));
  };
  one("group", from.control_group, to.control_group);
  one("viewers", from.viewer_group, to.viewer_group);
  if (!change.sentences.empty()) changes.push_back(std::move(change));
}

}  // namespace

std::vector<ConfigChange> diff(const Configuration& from, const Configuration& to) {
  std::vector<ConfigChange> changes;
  compare_control(from, to, changes);
  std::map<std::string, const NetworkConfig*> before;
  for (const NetworkConfig& network : from.networks) before[network.name] = &network;
  for (const NetworkConfig& network : to.networks) {
    const auto at = before.find(network.name);
    if (at == before.end()) {
      changes.push_back({ConfigChange::Kind::network_added,
                         network.name,
                         {fmt::format("network {} added: {}", network.name, whole(network))},
                         false});
      continue;
    }
    if (*at->second != network) changes.push_back(compare(*at->second, network));
    before.erase(at);
  }
  for (const auto& [name, network] : before) {
    changes.push_back({ConfigChange::Kind::network_removed,
                       name,
                       {fmt::format("network {} removed: {}", name, whole(*network))},
                       false});
  }
  std::stable_sort(
      changes.begin(), changes.end(),
      [](const ConfigChange& a, const ConfigChange& b) { return a.network < b.network; });
  return changes;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/daemon/network_plugins.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <utility>

#include "switch/network/plugin_text.h"

namespace lanyard {
namespace {

bool has(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

}  // namespace

NetworkPlugins::NetworkPlugins(std::string network, Switch& bridge, Lane& lane,
                               const BackendRegistry& backends, Log& log)
    : network_(std::move(network)),
      log_(log, network_),
      hub_(lane.loop(), log_),
      backends_(backends),
      host_(PluginEnvironment{bridge, lane, backends_, commands_, hub_, log_}, PluginKinds::ours) {}

Error NetworkPlugins::named(const Error& error) const {
  return {error.code, fmt::format("network {}: {}", network_, error.text)};
}

const NetworkPlugins::Loaded* NetworkPlugins::find(std::string_view text) const {
  const auto found = std::find_if(loaded_.begin(), loaded_.end(),
                                  [&](const Loaded& one) { return one.text == text; });
  return found == loaded_.end() ? nullptr : &*found;
}

Result<void> NetworkPlugins::load(const std::string& text) {
  const Result<PluginText> parsed = parse_plugin_text(text);
  if (!parsed) return parsed.error();
  if (Result<void> added = host_.add(parsed.value().file); !added) return added;
  const Plugin& plugin = *host_.plugins().back();
  loaded_.push_back({text, &plugin});
  for (const std::string& line : parsed.value().commands) {
    Reply reply;
    if (Result<void> said = host_.say(plugin, line, reply); !said) {
      unload(text);
      return said;
    }
  }
  return {};
}

void NetworkPlugins::unload(const std::string& text) {
  const Loaded* const found = find(text);
  if (found == nullptr) return;
  host_.remove(*found->plugin);
  loaded_.erase(loaded_.begin() + (found - loaded_.data()));
}

Result<void> NetworkPlugins::change_to(const std::vector<std::string>& texts) {
  std::vector<std::string> gone;
  for (const Loaded& one : loaded_) {
    if (!has(texts, one.text)) gone.push_back(one.text);
  }
  std::vector<std::string> fresh;
  for (const std::string& text : texts) {
    if (find(text) == nullptr) fresh.push_back(text);
  }
  const std::vector<HandoverPart> before = handover();
  for (const std::string& text : gone) unload(text);
  Result<void> loaded;
  for (const std::string& text : fresh) {
    loaded = load(text);
    if (!loaded) break;
  }
  if (loaded) return loaded;
  for (const std::string& text : fresh) unload(text);
  for (const HandoverPart& part : before) {
    if (find(part.text("text")) != nullptr) continue;
    if (Result<void> back = load_again(part); !back) {
      log_.error("going back after a failure: {}", back.error().text);
    }
  }
  return named(loaded.error());
}

// With all that was said to it, also by hand.
Result<void> NetworkPlugins::load_again(const HandoverPart& part) {
  if (Result<void> adopted = host_.adopt(part); !adopted) return adopted;
  loaded_.push_back({std::string(part.text("text")), host_.plugins().back().get()});
  return {};
}

Result<void> NetworkPlugins::rehearse(const std::vector<std::string>& texts) const {
  for (const std::string& text : texts) {
    if (find(text) != nullptr) continue;
    const Result<PluginText> parsed = parse_plugin_text(text);
    if (!parsed) return named(parsed.error());
    const Result<void> possible = PluginHost::rehearse(parsed.value().file, PluginKinds::ours);
    if (!possible) return named(possible.error());
  }
  return {};
}

std::vector<HandoverPart> NetworkPlugins::handover() const {
  std::vector<HandoverPart> parts;
  for (const Loaded& one : loaded_) {
    HandoverPart& part = parts.emplace_back(PluginHost::handover(*one.plugin));
    part.place = "plugin";
    part.set("text", one.text);
  }
  return parts;
}

void NetworkPlugins::resume(const std::vector<std::string>& texts,
                            const std::vector<HandoverPart>& parts) {
  const auto note = [this](const Result<void>& resumed) {
    if (!resumed) log_.error("a plugin is lost: {}", resumed.error().text);
  };
  std::set<std::string, std::less<>> tried;
  for (const HandoverPart& part : parts) {
    const std::string_view text = part.text("text");
    if (part.kind != "plugin" || !has(texts, text)) continue;
    if (tried.emplace(text).second) note(load_again(part));
  }
  for (const std::string& text : texts) {
    if (!tried.contains(text)) note(load(text));
  }
}

std::vector<RpcPlugin> NetworkPlugins::rows() const {
  std::vector<RpcPlugin> rows;
  for (const Loaded& one : loaded_) {
    rows.push_back({one.plugin->name(), one.plugin->help(), one.plugin->file(), one.text,
                    one.plugin->commands(), one.plugin->said()});
  }
  return rows;
}

const std::string* NetworkPlugins::find_text(std::string_view name) const {
  for (const Loaded& one : loaded_) {
    if (one.plugin->name() == name) return &one.text;
  }
  return nullptr;
}

Result<std::string> NetworkPlugins::say(std::string_view line) {
  const Command* const command = commands_.match(line);
  for (const Loaded& one : loaded_) {
    const std::vector<std::string> own = one.plugin->commands();
    if (command == nullptr || !has(own, command->path)) continue;
    Reply reply;
    if (Result<void> said = host_.say(*one.plugin, line, reply); !said) return said.error();
    return std::string(reply.text());
  }
  return Error{ENOENT, fmt::format("no plugin of network {} has a command '{}'; lanyard --json "
                                   "plugin list shows those there are",
                                   network_, printable(line))};
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/control/plugin_host.h"

#include <algorithm>
#include <cerrno>

#include "switch/control/native_plugin.h"
#include "switch/control/plugin_file.h"
#include "switch/control/plugin_probe.h"

namespace lanyard {

std::vector<std::string> Plugin::said() const {
  std::vector<std::string> lines;
  for (const Said& one : said_) {
    lines.push_back(one.arguments.empty() ? one.path
                                          : fmt::format("{} {}", one.path, one.arguments));
  }
  return lines;
}

void Plugin::note_said(std::string_view path, std::string_view arguments, Replaces replaces) {
  std::erase_if(said_, [&](const Said& one) {
    return replaces != Replaces::nothing && one.path == path &&
           (replaces == Replaces::path || one.arguments == arguments);
  });
  if (said_.size() == kSaidMax) said_.pop_front();
  said_.push_back({std::string(path), std::string(arguments)});
}

PluginHost::PluginHost(PluginEnvironment environment, PluginKinds kinds)
    : environment_(environment), kinds_(kinds) {
  if (kinds == PluginKinds::all) vde_.emplace(environment_);
  environment_.hub.add_sink(*this);
  environment_.hub.on_refresh = [this] {
    for (const auto& plugin : plugins_) plugin->on_debug_changed();
  };
}

PluginHost::~PluginHost() {
  while (!plugins_.empty()) {
    std::unique_ptr<Plugin> last = std::move(plugins_.back());
    plugins_.pop_back();
    end(std::move(last));
  }
  environment_.hub.on_refresh = nullptr;
  environment_.hub.remove_sink(*this);
}

// The file that may be loaded.
Result<std::string> PluginHost::find(std::string_view name, PluginKinds kinds) {
  Result<std::string> file =
      kinds == PluginKinds::ours ? find_our_plugin(name) : find_plugin(name, plugin_directories());
  if (!file || !is_privileged()) return file;
  if (const Result<void> safe = check_only_root_writes(file.value()); !safe) return safe.error();
  return file;
}

Result<void> PluginHost::try_out(const std::string& file, PluginKinds kinds) {
  return probe(printable(file), [&]() -> Result<void> {
    VdePlugins::stand_aside();
    Result<Library> library = Library::open(file, false);
    if (!library) return library.error();
    if (!VdePlugins::is_one(library.value())) {
      return NativePlugin::try_start(library.value(), file);
    }
    if (kinds == PluginKinds::all) return {};
    return Error{EINVAL, fmt::format("{} is a plugin of vde_switch, which knows one switch only; "
                                     "a network takes those of lanyard-plugins(7)",
                                     printable(file))};
  });
}

Result<void> PluginHost::rehearse(std::string_view name, PluginKinds kinds) {
  const Result<std::string> file = find(name, kinds);
  return file ? try_out(file.value(), kinds) : Result<void>(file.error());
}

Result<void> PluginHost::add(std::string_view name) {
  const Result<std::string> file = find(name, kinds_);
  if (!file) return file.error();
  for (const auto& plugin : plugins_) {
    if (plugin->file() != file.value()) continue;
    return Error{EEXIST, fmt::format("{} is loaded already", printable(file.value()))};
  }
  Result<std::unique_ptr<Plugin>> loaded = load(file.value());
  if (!loaded) return loaded.error();
  environment_.log.notice("plugin {} loaded from {}", loaded.value()->name(),
                          printable(file.value()));
  plugins_.push_back(loaded.take());
  environment_.hub.refresh();
  return {};
}

Result<std::unique_ptr<Plugin>> PluginHost::load(const std::string& file) {
  if (const Result<void> tried = try_out(file, kinds_); !tried) return tried.error();
  if (vde_) {
    // VDE's plugins register themselves while they are loaded.
    Result<std::unique_ptr<Plugin>> vde = vde_->load(file);
    if (!vde || vde.value() != nullptr) return vde;
  }
  Result<Library> library = Library::open(file, true);
  if (!library) return library.error();
  const Result<lanyard_plugin> table = NativePlugin::read_table(library.value(), file);
  if (!table) return table.error();
  for (const auto& plugin : plugins_) {
    if (plugin->name() != table.value().name) continue;
    return Error{EEXIST, fmt::format("a plugin {} is loaded already, from {}", plugin->name(),
                                     printable(plugin->file()))};
  }
  auto plugin = std::make_unique<NativePlugin>(library.take(), table.value(), file, environment_);
  if (const Result<void> started = plugin->start(adopting_); !started) return started.error();
  return std::unique_ptr<Plugin>(std::move(plugin));
}

Result<void> PluginHost::remove(std::string_view prefix) {
  const auto found = std::find_if(plugins_.begin(), plugins_.end(), [&](const auto& plugin) {
    return std::string_view(plugin->name()).starts_with(prefix);
  });
  if (found == plugins_.end()) {
    return Error{ENOENT, fmt::format("no plugin {} is loaded", printable(prefix))};
  }
  remove(**found);
  return {};
}

void PluginHost::remove(const Plugin& plugin) {
  const auto found = std::find_if(plugins_.begin(), plugins_.end(),
                                  [&](const auto& one) { return one.get() == &plugin; });
  std::unique_ptr<Plugin> gone = std::move(*found);
  plugins_.erase(found);
  end(std::move(gone));
  environment_.hub.refresh();
}

Result<void> PluginHost::say(const Plugin& plugin, std::string_view line, Reply& reply) {
  const Command* const command = environment_.commands.match(line);
  const std::vector<std::string> own = plugin.commands();
  if (command == nullptr || std::find(own.begin(), own.end(), command->path) == own.end()) {
    return Error{EINVAL, fmt::format("{} has no command '{}'; it has {}", plugin.name(),
                                     printable(line), fmt::join(own, ", "))};
  }
  CommandContext context{environment_.bridge,
                         environment_.lane,
                         environment_.backends,
                         environment_.commands,
                         no_info_,
                         environment_.log,
                         environment_.hub,
                         this};
  const CommandTable::Outcome outcome = environment_.commands.run(context, line, reply);
  reply.finish();
  if (outcome.result) return {};
  const std::string said(trim(reply.text()));
  return Error{outcome.result.error().code,
               fmt::format("'{}': {}{}{}", printable(line), outcome.result.error().text,
                           said.empty() ? "" : ": ", printable(said))};
}

// ---- a successor process ----

HandoverPart PluginHost::handover(const Plugin& plugin) {
  HandoverPart part;
  part.kind = "plugin";
  part.set("name", plugin.name());
  part.set("file", plugin.file());
  part.set("said", fmt::format("{}", fmt::join(plugin.said(), "\n")));
  return part;
}

std::vector<HandoverPart> PluginHost::handover() const {
  std::vector<HandoverPart> parts;
  for (const auto& plugin : plugins_) parts.push_back(handover(*plugin));
  return parts;
}

Result<void> PluginHost::adopt(const HandoverPart& part) {
  adopting_ = true;
  const Result<void> added = add(part.text("file"));
  adopting_ = false;
  if (!added) return added;
  const Plugin& plugin = *plugins_.back();
  for (std::string_view rest = part.text("said"); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    Reply reply;
    // What refers to what is gone need not keep the rest from being said.
    if (const Result<void> done = say(plugin, rest.substr(0, end), reply); !done) {
      environment_.log.warning("plugin {}, again: {}", plugin.name(), done.error().text);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

// Some plugins do not survive their own end; nor would we.
void PluginHost::end(std::unique_ptr<Plugin> plugin) {
  const std::string name = plugin->name();
  if (const Result<void> tried = plugin->try_end(); !tried) {
    environment_.log.error("plugin {} is out of use but stays in memory: {}", name,
                           tried.error().text);
    plugin->abandon();
  }
  plugin.reset();
  environment_.log.notice("plugin {} unloaded", name);
}

void PluginHost::on_event(const Event& event) {
  for (const auto& plugin : plugins_) plugin->on_event(event);
}

bool PluginHost::wants_mac_events() const {
  return std::any_of(plugins_.begin(), plugins_.end(),
                     [](const auto& plugin) { return plugin->wants_mac_events(); });
}

void PluginHost::on_hangup_signal() {
  for (const auto& plugin : plugins_) plugin->on_hangup_signal();
}

void PluginHost::on_console(bool began, int fd) {
  for (const auto& plugin : plugins_) plugin->on_console(began, fd);
}

void PluginHost::set_console_opener(std::function<void(UniqueFd)> opener) {
  if (vde_) vde_->console_opener = std::move(opener);
}

}  // namespace lanyard

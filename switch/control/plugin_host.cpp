// SPDX-License-Identifier: MIT
#include "switch/control/plugin_host.h"

#include <algorithm>
#include <cerrno>

#include "switch/control/native_plugin.h"
#include "switch/control/plugin_file.h"
#include "switch/control/plugin_probe.h"

namespace lanyard {

PluginHost::PluginHost(PluginEnvironment environment)
    : environment_(environment), vde_(environment_) {
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

Result<void> PluginHost::add(std::string_view name) {
  const Result<std::string> file = find_plugin(name, plugin_directories());
  if (!file) return file.error();
  for (const auto& plugin : plugins_) {
    if (plugin->file() != file.value()) continue;
    return Error{EEXIST, fmt::format("{} is loaded already", printable(file.value()))};
  }
  if (is_privileged()) {
    const Result<void> safe = check_only_root_writes(file.value());
    if (!safe) return safe.error();
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
  const Result<void> tried = probe(printable(file), [&]() -> Result<void> {
    VdePlugins::stand_aside();
    Result<Library> library = Library::open(file, false);
    if (!library) return library.error();
    if (VdePlugins::is_one(library.value())) return {};
    return NativePlugin::try_start(library.value(), file);
  });
  if (!tried) return tried.error();
  // VDE's plugins register themselves while they are loaded.
  Result<std::unique_ptr<Plugin>> vde = vde_.load(file);
  if (!vde || vde.value() != nullptr) return vde;
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
  if (const Result<void> started = plugin->start(); !started) return started.error();
  return std::unique_ptr<Plugin>(std::move(plugin));
}

Result<void> PluginHost::remove(std::string_view prefix) {
  const auto found = std::find_if(plugins_.begin(), plugins_.end(), [&](const auto& plugin) {
    return std::string_view(plugin->name()).starts_with(prefix);
  });
  if (found == plugins_.end()) {
    return Error{ENOENT, fmt::format("no plugin {} is loaded", printable(prefix))};
  }
  std::unique_ptr<Plugin> plugin = std::move(*found);
  plugins_.erase(found);
  end(std::move(plugin));
  environment_.hub.refresh();
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
  vde_.console_opener = std::move(opener);
}

}  // namespace lanyard

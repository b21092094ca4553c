// SPDX-License-Identifier: MIT
//
// Methods about the plugins of a network.
#include <algorithm>
#include <array>
#include <cerrno>

#include "switch/base/text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"
#include "switch/network/plugin_text.h"

namespace lanyard {
namespace {

void list(RpcCall& call) {
  const std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  Json rows = Json::array();
  for (const std::string& name : *names) {
    const RpcNetwork* const network = call.host.find(name);
    if (network == nullptr) continue;
    for (const RpcPlugin& plugin : network->plugins()) {
      rows.push_back({{"network", name},
                      {"name", plugin.name},
                      {"help", plugin.help},
                      {"plugin", plugin.text},
                      {"file", plugin.file},
                      {"commands", plugin.commands},
                      {"said", plugin.said}});
    }
  }
  call.answer.rows("plugins", std::move(rows));
}

// The same as the check of a configuration: one of a name, and a text that can be read.
Result<void> check_addition(const RpcNetwork& network, const std::string& text) {
  const Result<PluginText> added = parse_plugin_text(text);
  if (!added) return added.error();
  const std::string_view stem = plugin_stem(added.value().file);
  for (const std::string& known : network.config().plugins) {
    const Result<PluginText> other = parse_plugin_text(known);
    if (!other || plugin_stem(other.value().file) != stem) continue;
    return Error{EEXIST, fmt::format("network {} has the plugin {} already: delete it first, or "
                                     "say it something with plugin run",
                                     network.config().name, printable(stem))};
  }
  return {};
}

void add(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const std::string text = rpc_text(call.params, "plugin");
  Result<void> added = check_addition(*network, text);
  if (added) added = network->add_plugin(text);
  if (!added) return call.answer.error(added.error());
  call.answer.done();
}

void remove(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const Result<void> removed = network->delete_plugin(rpc_text(call.params, "name"));
  if (!removed) return call.answer.error(removed.error());
  call.answer.done();
}

void run(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const Result<std::string> said = network->tell_plugin(trim(rpc_text(call.params, "command")));
  if (!said) return call.answer.error(said.error());
  Json rows = Json::array();
  for (std::string_view rest = said.value(); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    rows.push_back({{"line", rest.substr(0, end)}});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  call.answer.rows("lines", std::move(rows));
}

constexpr std::array kRows{RpcHandlerRow{"plugin.list", list}, RpcHandlerRow{"plugin.add", add},
                           RpcHandlerRow{"plugin.delete", remove},
                           RpcHandlerRow{"plugin.run", run}};

}  // namespace

std::span<const RpcHandlerRow> rpc_plugin_handlers() {
  return kRows;
}

}  // namespace lanyard

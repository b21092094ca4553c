// SPDX-License-Identifier: MIT
#include "switch/daemon/reload.h"

#include <algorithm>
#include <utility>

namespace lanyard {

class Reload::Gather {
 public:
  Gather(std::weak_ptr<Reload> reload, Step next) : reload_(std::move(reload)), next_(next) {}
  Gather(const Gather&) = delete;
  Gather& operator=(const Gather&) = delete;
  ~Gather() {
    const std::shared_ptr<Reload> reload = reload_.lock();
    if (reload == nullptr) return;
    // Not from within the callback of a gateway that the next step may end.
    reload->in_next_round([reload = reload.get(), next = next_, error = std::move(error_)] {
      if (error) return reload->roll_back(*error);
      (reload->*next)();
    });
  }
  void note(const Result<void>& result) {
    if (!result && !error_) error_ = result.error();
  }

 private:
  std::weak_ptr<Reload> reload_;
  Step next_;
  std::optional<Error> error_;
};

Reload::Reload(Networks& networks, NetworkEnvironment& environment,
               std::vector<NetworkConfig> wanted, Done done)
    : networks_(networks),
      environment_(environment),
      wanted_(std::move(wanted)),
      done_(std::move(done)) {
  for (const auto& [name, network] : networks_) before_.push_back(network->config());
  plan_ = plan_reload(before_, wanted_);
}

void Reload::in_next_round(std::function<void()> step) {
  timer_ = environment_.loop.after(Duration{0}, [this, step = std::move(step)] {
    const std::shared_ptr<Reload> alive = shared_from_this();
    timer_.reset();
    step();
  });
}

std::shared_ptr<Reload::Gather> Reload::gather(Step next) {
  return std::make_shared<Gather>(weak_from_this(), next);
}

void Reload::start() {
  for (const std::string& name : plan_.changed) {
    if (Result<void> fits = networks_.at(name)->check_ports(wanted(name)); !fits) {
      return done_(fits);
    }
  }
  clear_way();
}

void Reload::clear_way() {
  for (const SocketStep& step : plan_.close_sockets_first) {
    networks_.at(step.network)->close_socket(step.socket.path);
  }
  for (const std::string& name : plan_.close_hosts_first) networks_.at(name)->close_host();
  if (plan_.close_sockets_first.empty() && plan_.close_hosts_first.empty()) return open();
  // Plugs are gone at the end of the round only, and their names with them.
  in_next_round([this] { open(); });
}

void Reload::open() {
  if (Result<void> opened = open_all(); !opened) return roll_back(opened.error());
  release();
}

Result<void> Reload::open_all() {
  for (const std::string& name : plan_.open_hosts) {
    if (Result<void> opened = networks_.at(name)->open_host(wanted(name)); !opened) return opened;
    opened_hosts_.push_back(name);
  }
  for (const SocketStep& step : plan_.open_sockets) {
    Result<void> opened = networks_.at(step.network)->open_socket(step.socket);
    if (!opened) return opened;
    opened_sockets_.push_back(step);
  }
  for (const std::string& name : plan_.added) {
    auto network = std::make_unique<Network>(wanted(name), environment_);
    if (Result<void> opened = network->open(); !opened) return opened;
    added_.emplace(name, std::move(network));
  }
  return {};
}

void Reload::release() {
  if (plan_.release.empty()) return configure();
  gateways_told_ = true;
  const std::shared_ptr<Gather> answers = gather(&Reload::configure);
  for (const NetworkConfig& kept : plan_.release) {
    networks_.at(kept.name)->configure_gateway(
        kept, [answers](const Result<void>& done) { answers->note(done); });
  }
}

void Reload::configure() {
  if (plan_.configure_gateways.empty() && plan_.start_gateways.empty() && added_.empty()) {
    return commit();
  }
  gateways_told_ = true;
  const std::shared_ptr<Gather> answers = gather(&Reload::commit);
  const auto note = [answers](const Result<void>& done) { answers->note(done); };
  for (const std::string& name : plan_.configure_gateways) {
    networks_.at(name)->configure_gateway(wanted(name), note);
  }
  for (const std::string& name : plan_.start_gateways) {
    started_gateways_.push_back(name);
    networks_.at(name)->start_gateway_for(wanted(name), note);
  }
  for (const auto& [name, network] : added_) network->start_gateway(note);
}

void Reload::commit() {
  for (const SocketStep& step : plan_.close_sockets) {
    const bool reopened =
        std::any_of(plan_.open_sockets.begin(), plan_.open_sockets.end(), [&](const auto& o) {
          return o.network == step.network && o.socket.path == step.socket.path;
        });
    if (!reopened) networks_.at(step.network)->close_socket(step.socket.path);
  }
  for (const std::string& name : plan_.close_hosts) {
    if (!wanted(name).host) networks_.at(name)->close_host();
  }
  for (const std::string& name : plan_.end_gateways) networks_.at(name)->end_gateway();
  for (const std::string& name : plan_.changed) networks_.at(name)->adopt(wanted(name));
  for (const std::string& name : plan_.removed) {
    networks_.erase(name);
    environment_.publish("network.down", {{"network", name}});
  }
  for (auto& [name, network] : added_) {
    networks_.emplace(name, std::move(network));
    environment_.publish("network.up", {{"network", name}});
  }
  added_.clear();
  done_({});
}

void Reload::roll_back(Error why) {
  added_.clear();
  for (const SocketStep& step : opened_sockets_) {
    networks_.at(step.network)->close_socket(step.socket.path);
  }
  for (const std::string& name : opened_hosts_) networks_.at(name)->close_host();
  for (const std::string& name : started_gateways_) networks_.at(name)->end_gateway();
  if (gateways_told_) {
    // Those that refused kept what they had; to be told that again does no harm.
    for (const NetworkConfig& before : before_) {
      const bool told = std::find(plan_.configure_gateways.begin(), plan_.configure_gateways.end(),
                                  before.name) != plan_.configure_gateways.end() ||
                        find_network(plan_.release, before.name) != nullptr;
      if (!told) continue;
      networks_.at(before.name)
          ->configure_gateway(before, [&log = environment_.log](const Result<void>& done) {
            if (!done) log.error("going back after a failed reload: {}", done.error().text);
          });
    }
  }
  if (plan_.close_sockets_first.empty() && plan_.close_hosts_first.empty()) return done_(why);
  in_next_round([this, why] { reopen(why); });
}

void Reload::reopen(const Error& why) {
  for (const SocketStep& step : plan_.close_sockets_first) {
    if (Result<void> back = networks_.at(step.network)->open_socket(step.socket); !back) {
      environment_.log.error("going back after a failed reload: {}", back.error().text);
    }
  }
  for (const std::string& name : plan_.close_hosts_first) {
    Network& network = *networks_.at(name);
    if (Result<void> back = network.open_host(network.config()); !back) {
      environment_.log.error("going back after a failed reload: {}", back.error().text);
    }
  }
  done_(why);
}

}  // namespace lanyard

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
  std::vector<NetworkConfig> before;
  for (const auto& [name, network] : networks_) before.push_back(network->config());
  plan_ = plan_reload(before, wanted_);
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
  in_next_round([this] { open(); });
}

Network& Reload::network_of(const std::string& name) {
  const auto added = added_.find(name);
  return added != added_.end() ? *added->second : *networks_.at(name);
}

void Reload::open() {
  if (Result<void> made = make_new(); !made) return roll_back(made.error());
  in_next_round([this] {
    if (Result<void> possible = rehearse(); !possible) return roll_back(possible.error());
    if (Result<void> opened = open_places(plan_.open); !opened) return roll_back(opened.error());
    in_next_round([this] { release(); });
  });
}

Result<void> Reload::make_new() {
  for (const std::string& name : plan_.added) {
    auto network = std::make_unique<Network>(wanted(name), environment_);
    if (Result<void> made = network->make_vlans(); !made) return made;
    // Before anybody can plug in.
    if (Result<void> loaded = network->load_plugins(wanted(name)); !loaded) return loaded;
    added_.emplace(name, std::move(network));
  }
  return {};
}

// Of what moves, as much as can be tried while it is still in use.
Result<void> Reload::rehearse() {
  for (const std::string& name : plan_.changed) {
    Result<void> possible = network_of(name).rehearse_plugins(wanted(name));
    if (!possible) return possible;
  }
  for (const std::string& name : plan_.open_moved.hosts) {
    if (Result<void> free = environment_.spawner.check_host(wanted(name)); !free) return free;
  }
  for (const SocketStep& step : plan_.open_moved.sockets) {
    Result<void> possible = network_of(step.network).rehearse_socket(step.socket);
    if (!possible) return possible;
  }
  return {};
}

Result<void> Reload::open_places(const Places& places) {
  for (const std::string& name : places.hosts) {
    if (Result<void> opened = network_of(name).open_host(wanted(name)); !opened) return opened;
    opened_.hosts.push_back(name);
  }
  for (const SocketStep& step : places.sockets) {
    Result<void> opened = network_of(step.network).open_socket(step.socket);
    if (!opened) return opened;
    opened_.sockets.push_back(step);
  }
  for (const PlugStep& step : places.plugs) {
    if (Result<void> opened = network_of(step.network).open_plug(step.url); !opened) return opened;
    opened_.plugs.push_back(step);
  }
  return {};
}

void Reload::close(const Places& places) {
  for (const PlugStep& step : places.plugs) network_of(step.network).close_plug(step.url);
  for (const SocketStep& step : places.sockets) {
    network_of(step.network).close_socket(step.socket.path);
  }
  for (const std::string& name : places.hosts) network_of(name).close_host();
}

void Reload::release() {
  if (plan_.release.empty()) return configure();
  const std::shared_ptr<Gather> answers = gather(&Reload::configure);
  for (const NetworkConfig& kept : plan_.release) {
    told_gateways_.push_back(kept.name);
    networks_.at(kept.name)->configure_gateway(
        kept, [answers](const Result<void>& done) { answers->note(done); });
  }
}

void Reload::configure() {
  if (plan_.configure_gateways.empty() && plan_.start_gateways.empty() && added_.empty()) {
    return move();
  }
  const std::shared_ptr<Gather> answers = gather(&Reload::move);
  const auto note = [answers](const Result<void>& done) { answers->note(done); };
  for (const std::string& name : plan_.configure_gateways) {
    told_gateways_.push_back(name);
    networks_.at(name)->configure_gateway(wanted(name), note);
  }
  for (const std::string& name : plan_.start_gateways) {
    started_gateways_.push_back(name);
    networks_.at(name)->start_gateway_for(wanted(name), note);
  }
  for (const auto& [name, network] : added_) network->start_gateway(note);
}

void Reload::move() {
  if (plan_.close_moved.empty()) return exchange_plugins();
  moved_ = true;
  close(plan_.close_moved);
  // Plugs are gone at the end of the round only, and their names with them.
  in_next_round([this] {
    if (Result<void> opened = open_places(plan_.open_moved); !opened) {
      return roll_back(opened.error());
    }
    exchange_plugins();
  });
}

// Frames do not move before the commit, so they never pass by a plugin that goes and comes.
void Reload::exchange_plugins() {
  std::vector<Network*> done;
  for (const std::string& name : plan_.changed) {
    Network& network = *networks_.at(name);
    if (Result<void> loaded = network.load_plugins(wanted(name)); !loaded) {
      for (Network* const other : done) {
        if (Result<void> back = other->load_plugins(other->config()); !back) {
          environment_.log.error("going back after a failed reload: {}", back.error().text);
        }
      }
      return roll_back(loaded.error());
    }
    done.push_back(&network);
  }
  commit();
}

void Reload::commit() {
  close(plan_.close);
  for (const std::string& name : plan_.end_gateways) networks_.at(name)->end_gateway();
  for (const std::string& name : plan_.changed) networks_.at(name)->adopt(wanted(name));
  for (const std::string& name : plan_.removed) {
    removed_.push_back(std::move(networks_.extract(name).mapped()));
    environment_.publish("network.down", {{"network", name}});
  }
  for (auto& [name, network] : added_) {
    networks_.emplace(name, std::move(network));
    environment_.publish("network.up", {{"network", name}});
  }
  added_.clear();
  in_next_round([this] { finish(); });
}

void Reload::finish() {
  removed_.clear();
  done_({});
}

void Reload::roll_back(Error why) {
  close(opened_);
  added_.clear();
  for (const std::string& name : started_gateways_) networks_.at(name)->end_gateway();
  std::sort(told_gateways_.begin(), told_gateways_.end());
  told_gateways_.erase(std::unique(told_gateways_.begin(), told_gateways_.end()),
                       told_gateways_.end());
  // Those that refused kept what they had; to be told that again does no harm.
  for (const std::string& name : told_gateways_) {
    Network& network = *networks_.at(name);
    network.configure_gateway(
        network.config(), [&log = environment_.log](const Result<void>& done) {
          if (!done) {
            log.error("going back after a failed reload: {}", done.error().text);
          }
        });
  }
  if (!moved_) return done_(why);
  in_next_round([this, why] { reopen(why); });
}

void Reload::reopen(const Error& why) {
  const auto note = [this](const Result<void>& back) {
    if (!back) environment_.log.error("going back after a failed reload: {}", back.error().text);
  };
  for (const SocketStep& step : plan_.close_moved.sockets) {
    note(networks_.at(step.network)->open_socket(step.socket));
  }
  for (const std::string& name : plan_.close_moved.hosts) {
    Network& network = *networks_.at(name);
    note(network.open_host(network.config()));
  }
  for (const PlugStep& step : plan_.close_moved.plugs) {
    note(networks_.at(step.network)->open_plug(step.url));
  }
  done_(why);
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "tests/sim/net_script.h"

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tests/sim/bridge_network.h"

namespace lanyard::testing {
namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

class NetScript {
 public:
  explicit NetScript(Random& random) : network_(random) {}

  // Throws what went wrong.
  void run(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "bridge") {
      add_bridge(words.at(1), settings_of(words, 2));
    } else if (verb == "bridges") {
      for (unsigned i = 1; i <= number(words, 1); ++i) {
        add_bridge(fmt::format("b{}", i), settings_of(words, 2));
      }
    } else if (verb == "cable") {
      add_cable(bridge(words.at(1)), bridge(words.at(2)), option(words, 3, "cost"));
    } else if (verb == "ring" || verb == "mesh") {
      join(verb == "mesh");
    } else if (verb == "converge") {
      converge(number(words, 1));
    } else if (verb == "run") {
      network_.run(std::chrono::seconds(number(words, 1)));
    } else if (verb == "cut" || verb == "mend") {
      network_.set_cable(cable(words.at(1)), verb == "mend");
    } else if (verb == "kill" || verb == "revive") {
      network_.set_alive(bridge(words.at(1)), verb == "revive");
    } else if (verb == "priority") {
      network_.engine(bridge(words.at(1)))
          .set_priority(static_cast<std::uint16_t>(number(words, 2)));
    } else {
      expect(words);
    }
    if (!network_.loop().empty()) throw std::runtime_error(network_.loop());
  }

 private:
  void expect(const Words& words) {
    if (words[0] == "root") {
      const BridgeId root = network_.engine(bridge(words.at(1))).bridge_id();
      for (std::size_t i = 0; i < network_.bridges(); ++i) {
        if (network_.is_alive(i) && network_.engine(i).root() != root) {
          throw std::runtime_error(fmt::format("bridge {} has another root", i + 1));
        }
      }
    } else if (words[0] == "open" || words[0] == "blocked") {
      if (network_.carries(cable(words.at(1))) != (words[0] == "open")) {
        throw std::runtime_error(
            fmt::format("{} is not {}\n{}", words[1], words[0], network_.describe()));
      }
    } else {
      throw std::runtime_error(words[0] + " is no statement");
    }
  }

  void add_bridge(const std::string& name, const BridgeNetwork::BridgeSettings& settings) {
    bridges_[name] = network_.add_bridge(settings);
    names_.push_back(name);
  }

  void add_cable(std::size_t a, std::size_t b, std::optional<unsigned> cost) {
    const std::size_t index = network_.add_cable(a, b, cost.value_or(Rstp::kDefaultPathCost));
    std::string name = names_[a] + "-" + names_[b];
    for (unsigned i = 2; cables_.contains(name); ++i) {
      name = fmt::format("{}-{}/{}", names_[a], names_[b], i);
    }
    cables_[name] = index;
    network_.set_cable(index, true);
  }

  void join(bool all) {
    const std::size_t count = network_.bridges();
    for (std::size_t a = 0; a < count; ++a) {
      if (!all) {
        add_cable(a, (a + 1) % count, std::nullopt);
        continue;
      }
      for (std::size_t b = a + 1; b < count; ++b) add_cable(a, b, std::nullopt);
    }
  }

  void converge(unsigned most) {
    if (network_.converge(std::chrono::seconds(most))) return;
    throw std::runtime_error(
        fmt::format("no tree after {} s: {}\n{}", most, network_.flaw(), network_.describe()));
  }

  static unsigned number(const Words& words, std::size_t at) {
    return static_cast<unsigned>(std::stoul(words.at(at), nullptr, 0));
  }
  static std::optional<unsigned> option(const Words& words, std::size_t from,
                                        const std::string& name) {
    for (std::size_t i = from; i < words.size(); ++i) {
      if (words[i].starts_with(name + "=")) {
        return static_cast<unsigned>(std::stoul(words[i].substr(name.size() + 1), nullptr, 0));
      }
    }
    return std::nullopt;
  }
  static BridgeNetwork::BridgeSettings settings_of(const Words& words, std::size_t from) {
    BridgeNetwork::BridgeSettings settings;
    settings.priority =
        static_cast<std::uint16_t>(option(words, from, "priority").value_or(0x8000));
    settings.max_age_s = option(words, from, "max_age").value_or(settings.max_age_s);
    settings.forward_delay_s = option(words, from, "delay").value_or(settings.forward_delay_s);
    for (std::size_t i = from; i < words.size(); ++i) {
      if (words[i] == "stp") settings.old_protocol = true;
    }
    return settings;
  }
  std::size_t bridge(const std::string& name) const { return bridges_.at(name); }
  std::size_t cable(const std::string& name) const { return cables_.at(name); }

  BridgeNetwork network_;
  std::vector<std::string> names_;
  std::map<std::string, std::size_t> bridges_;
  std::map<std::string, std::size_t> cables_;
};

}  // namespace

std::string run_net_script(const std::string& path) {
  Random random;
  NetScript script(random);
  std::ifstream file(path);
  if (!file) return path + " cannot be read";
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const Words words = words_of(line);
    if (words.empty()) continue;
    try {
      script.run(words);
    } catch (const std::exception& error) {
      return fmt::format("line {}: {}: {}\n({})", number, line, error.what(),
                         random.how_to_repeat());
    }
  }
  return "";
}

}  // namespace lanyard::testing

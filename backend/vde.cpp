// SPDX-License-Identifier: MIT
//
// The `vde` backend: serves a VDE switch directory. Its options are read here; the directory, the
// listener and the endpoints each have a file of their own.
#include <grp.h>

#include <cerrno>
#include <cstring>

#include "backend/vde_listener.h"
#include "switch/base/text.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

Result<void> read_mode(const BackendOptions& options, std::string_view key, mode_t& into) {
  const std::string* const text = options.find(key);
  if (text == nullptr) return {};
  const std::optional<unsigned> mode = parse_mode(*text);
  if (!mode) return Error{EINVAL, fmt::format("vde: {}={} is not an octal mode", key, *text)};
  into = *mode;
  return {};
}

Result<void> read_group(const BackendOptions& options, std::string_view key, gid_t& into) {
  const std::string* const name = options.find(key);
  if (name == nullptr) return {};
  const group* const found = ::getgrnam(name->c_str());
  if (found == nullptr) return Error{EINVAL, fmt::format("No such group '{}'", *name)};
  into = found->gr_gid;
  return {};
}

// The modes that follow when only one of socket and directory mode is given.
void derive_modes(const BackendOptions& options, VdeDirectory::Settings& settings) {
  const bool socket_given = options.find("mode") != nullptr;
  const bool directory_given = options.find("dirmode") != nullptr;
  if (socket_given && !directory_given) {
    settings.directory_mode = 02000 | settings.socket_mode;
    for (const mode_t shift : {0U, 3U, 6U}) {
      if ((settings.socket_mode >> shift & 06U) != 0) settings.directory_mode |= 01U << shift;
    }
  } else if (directory_given && !socket_given) {
    settings.socket_mode = settings.directory_mode & 0666U;
  }
}

// NAME=FIRST-LAST.
Result<VdeListener::Settings> read_port_group(std::string_view text) {
  const Error bad{
      EINVAL, fmt::format("port group '{}' is not of the form NAME=FIRST-LAST", printable(text))};
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return bad;
  const std::string_view name = text.substr(0, equals);
  const std::string_view range = text.substr(equals + 1);
  const std::size_t dash = range.find('-');
  const auto first = parse_integer(range.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_integer(range.substr(dash + 1));
  if (!first || !last || *first < 1 || *last < *first || *last > kPortMax) return bad;
  // With a name of digits libvdeplug takes the connection for one to `ctl`.
  if (name.empty() || name == "ctl" || name.front() == '.' || name.size() > 14 ||
      name.find('/') != std::string_view::npos ||
      name.find_first_not_of("0123456789") == std::string_view::npos) {
    return Error{EINVAL, fmt::format("'{}' cannot be the name of a port group: use up to 14 "
                                     "characters, not only digits, no '/', not 'ctl'",
                                     printable(name))};
  }
  return VdeListener::Settings{std::string(name), static_cast<PortId>(*first),
                               static_cast<PortId>(*last)};
}

Result<void> open_vde(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known =
          options.check_keys({"mode", "dirmode", "group", "mgmtmode", "mgmtgroup", "portgroup"});
      !known) {
    return known;
  }
  VdeDirectory::Settings settings;
  settings.path = options.target();
  for (Result<void> read : {read_mode(options, "mode", settings.socket_mode),
                            read_mode(options, "dirmode", settings.directory_mode),
                            read_mode(options, "mgmtmode", settings.management_mode),
                            read_group(options, "group", settings.group),
                            read_group(options, "mgmtgroup", settings.management_group)}) {
    if (!read) return read;
  }
  derive_modes(options, settings);
  std::vector<VdeListener::Settings> listeners{VdeListener::Settings{}};
  for (const std::string& text : options.all("portgroup")) {
    Result<VdeListener::Settings> listener = read_port_group(text);
    if (!listener) return listener.error();
    listeners.push_back(listener.take());
  }

  Result<std::shared_ptr<VdeDirectory>> directory =
      VdeDirectory::open(std::move(settings), patchbay.log());
  if (!directory) return directory.error();
  const std::shared_ptr<VdeShared> shared(
      new VdeShared{directory.take(), DatagramBatches(patchbay.pool()), patchbay.log()});
  for (VdeListener::Settings& listener : listeners) {
    Result<std::unique_ptr<VdeListener>> service =
        VdeListener::open(std::move(listener), shared, patchbay);
    if (!service) return service.error();
    patchbay.keep(service.take());
  }
  return {};
}

}  // namespace

extern const Backend vde_backend;
const Backend vde_backend{
    "vde",
    "vde://DIRECTORY?mode=OCTAL&dirmode=OCTAL&group=NAME&mgmtmode=OCTAL&mgmtgroup=NAME"
    "&portgroup=NAME=FIRST-LAST",
    "serve a VDE switch directory for QEMU (-netdev vde), vde_plug, VirtualBox and UML",
    &open_vde,
};

}  // namespace lanyard

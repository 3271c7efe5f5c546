#include "missing.h"

#include <dlfcn.h>
#include <stddef.h>

const char *load_error(const unsigned char *path) {
	return dlopen((const char *)path, RTLD_LAZY | RTLD_LOCAL) ? NULL : dlerror();
}

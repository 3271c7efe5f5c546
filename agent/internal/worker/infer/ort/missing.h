// load_error loads a shared library and says why that fails, or returns NULL: it stays loaded then.
const char *load_error(const unsigned char *path);

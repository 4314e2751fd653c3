def sweep(): pass

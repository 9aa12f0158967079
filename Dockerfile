# InterSystems IRIS Community Edition with the production of ibformers/iris: see docs/iris.md.
# The tag moves because the licence inside a community image ends after a year.
ARG IMAGE=intersystems/iris-community:latest-em
FROM $IMAGE

USER root
RUN install -d -o irisowner -g irisowner /irisdev/app /irisdev/app/models
USER irisowner
WORKDIR /irisdev/app

ENV IRISUSERNAME=SuperUser \
    IRISPASSWORD=SYS \
    IRISNAMESPACE=IRISAPP \
    PATH=/home/irisowner/.local/bin:/usr/irissys/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/irisdev/app

# Embedded Python sees what is installed for the user that IRIS runs as.
COPY --chown=irisowner:irisowner pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=irisowner:irisowner pytest_ibmodels pytest_ibmodels
RUN pip3 install --user --break-system-packages --no-cache-dir \
    --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt '.[sandbox,torch,iris]'

COPY --chown=irisowner:irisowner ibformers ibformers
# Classes of messages by their short names, such as msg.TrainRequest.
COPY --chown=irisowner:irisowner ibformers/iris/msg.py msg.py
RUN bash ibformers/iris/image/build.sh
